; ECL: trees, hash tables, bignums, weak tables, processes, finalizers.
; run: ecl --norc --shell FILE
; SPDX-License-Identifier: MIT
(defun tree (d) (if (= d 0) (cons nil nil) (cons (tree (1- d)) (tree (1- d)))))
(defun check (tr) (if (null (car tr)) 1 (+ 1 (check (car tr)) (check (cdr tr)))))
(let ((long (tree 12))) (dotimes (i 10) (check (tree 10))) (print (check long)))
(let ((h (make-hash-table :test 'equal)))
  (dotimes (i 20000) (setf (gethash (format nil "~a" i) h) i))
  (print (hash-table-count h)))
(let ((x 1)) (dotimes (i 1500) (setf x (* x (1+ i)))) (print (mod x 1000007)))
(ext:gc t)
(let ((w (make-hash-table :weakness :key)))
  (dotimes (i 1000) (setf (gethash (list i) w) i))
  (ext:gc t)
  (print (<= (hash-table-count w) 1000)))
(let ((p (mp:process-run-function "list" (lambda () (length (make-list 100000))))))
  (print (mp:process-join p)))
(terpri)
(ext:quit)
