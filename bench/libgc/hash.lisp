; ECL: a hash table of strings, and a factorial.
; SPDX-License-Identifier: MIT
(let ((h (make-hash-table :test 'equal)))
  (dotimes (i 300000) (setf (gethash (format nil "~a" i) h) i))
  (print (hash-table-count h)))
(let ((x 1)) (dotimes (i 4000) (setf x (* x (1+ i)))) (print (mod x 1000007)))
(terpri)
(ext:quit)
