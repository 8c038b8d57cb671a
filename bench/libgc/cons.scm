; Guile: long lists made and dropped.
; SPDX-License-Identifier: MIT
(define (make n) (let loop ((i 0) (acc '())) (if (= i n) acc (loop (+ i 1) (cons i acc)))))
(define (sum l) (let loop ((l l) (s 0)) (if (null? l) s (loop (cdr l) (+ s (car l))))))
(define (run n) (let loop ((k 0) (t 0)) (if (= k n) t (loop (+ k 1) (+ t (sum (make 300000)))))))
(display (run 200)) (newline)
