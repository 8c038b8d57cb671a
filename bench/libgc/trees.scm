; Guile: binary trees, one of which lives to the end.
; SPDX-License-Identifier: MIT
(define (tree d) (if (= d 0) (cons '() '()) (cons (tree (- d 1)) (tree (- d 1)))))
(define (check t) (if (null? (car t)) 1 (+ 1 (check (car t)) (check (cdr t)))))
(define (run n) (let ((long (tree 18))) (let loop ((i 0)) (if (< i n) (begin (check (tree 16)) (loop (+ i 1))))) (check long)))
(display (run 150)) (newline)
