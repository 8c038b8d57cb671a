; Guile: lists, trees, vectors, deep recursion, symbols and strings through many cycles.
; run: guile --no-auto-compile FILE
; SPDX-License-Identifier: MIT
(define (make n) (let loop ((i 0) (acc '())) (if (= i n) acc (loop (+ i 1) (cons i acc)))))
(define (tree d) (if (= d 0) (cons '() '()) (cons (tree (- d 1)) (tree (- d 1)))))
(define (check t) (if (null? (car t)) 1 (+ 1 (check (car t)) (check (cdr t)))))
(define long (tree 14))
(define (deep n) (if (= n 0) 0 (+ 1 (deep (- n 1)))))
(let loop ((k 0) (sum 0))
  (if (= k 6)
      (begin (display sum) (newline))
      (loop (+ k 1) (+ sum (apply + (make 30000)) (check (tree 12)) (vector-length (make-vector 50000 k))))))
(display (check long)) (newline)
(display (deep 200000)) (newline)
(let loop ((i 0)) (if (< i 20000) (begin (string->symbol (number->string i)) (loop (+ i 1)))))
(display (string-length (number->string (let loop ((i 1) (n 1)) (if (= i 1500) n (loop (+ i 1) (* n i)))))))
(newline)
