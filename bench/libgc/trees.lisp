; ECL: binary trees.
; SPDX-License-Identifier: MIT
(defun tree (d) (if (= d 0) (cons nil nil) (cons (tree (1- d)) (tree (1- d)))))
(defun check (tr) (if (null (car tr)) 1 (+ 1 (check (car tr)) (check (cdr tr)))))
(let ((long (tree 16))) (dotimes (i 25) (check (tree 14))) (print (check long)))
(terpri)
(ext:quit)
