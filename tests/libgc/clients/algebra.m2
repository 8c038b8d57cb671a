-- run: M2 --script FILE
-- SPDX-License-Identifier: MIT
R = QQ[x,y,z,w]; I = ideal(x^3-y^2*w, y^4-z*w^3, x*y*z-w^3); print betti res I; print degree I;
S = ZZ/101[a..h]; J = minors(2, genericMatrix(S,a,2,4)); print (betti res J); exit 0
