/* A small Lisp on the C interface: what a language runtime needs of a collector, and no more.
 *
 * Every value is a pointer: to a number, a symbol, a pair, a function of C or a closure. All have the same
 * two pointer fields, so one descriptor tells the collector all. Locals of the interpreter are plain C
 * variables; a store into a field is cairn_store(). The evaluator loops on tail calls and recurses elsewhere.
 *
 *   lisp            runs the programs below and checks what they give
 *   lisp FILE       prints the value of each expression of a file
 * SPDX-License-Identifier: MIT
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cairn/cairn.h"

typedef enum { NUMBER, SYMBOL, PAIR, NATIVE, CLOSURE } Kind;

typedef struct Value Value;
typedef Value* (*Native)(Value* arguments);
struct Value {
    Value* a; /* pair: its first; symbol: its name, in noscan memory; closure: parameters and body */
    Value* b; /* pair: its rest; symbol: the next one; closure: where it was made */
    Kind kind;
    union {
        long number;
        Native native;
    } of;
};

static uint32_t shape_of_value;
static const uint64_t pointers_of_value[] = {3};
static const cairn_type type_of_value = {sizeof(Value),     _Alignof(Value),   CAIRN_TYPED,
                                         sizeof(Value) / 8, pointers_of_value, NULL,
                                         "Value",           &shape_of_value};

static void** symbols; /* root cells: all symbols, all global names */
static void** globals;
static Value *nil, *truth, *quote, *if_, *lambda, *define, *set, *begin, *let; /* kept by `symbols` */

static void die(const char* what) {
    fprintf(stderr, "lisp: %s\n", what);
    exit(1);
}

/* ---- values */

static Value* make(Kind kind, Value* a, Value* b) {
    Value* value = cairn_alloc(sizeof *value, &type_of_value);
    if (value == NULL) die("out of memory");
    value->kind = kind;
    cairn_store(&value->a, a);
    cairn_store(&value->b, b);
    return value;
}
static Value* number(long n) {
    Value* value = make(NUMBER, NULL, NULL);
    value->of.number = n;
    return value;
}
static Value* cons(Value* a, Value* b) {
    return make(PAIR, a, b);
}
static Value* car(Value* pair) {
    return pair->kind == PAIR ? pair->a : (die("car of no pair"), NULL);
}
static Value* cdr(Value* pair) {
    return pair->kind == PAIR ? pair->b : (die("cdr of no pair"), NULL);
}
static Value* second(Value* list) {
    return car(cdr(list));
}
static Value* third(Value* list) {
    return car(cdr(cdr(list)));
}
static long value_of(Value* value) {
    return value->kind == NUMBER ? value->of.number : (die("no number"), 0);
}

static Value* intern(const char* name, size_t length) {
    for (Value* symbol = *symbols; symbol != NULL; symbol = symbol->b)
        if (strlen((const char*)symbol->a) == length && memcmp(symbol->a, name, length) == 0) return symbol;
    char* text = cairn_alloc_noscan(length + 1);
    if (text == NULL) die("out of memory");
    memcpy(text, name, length);
    text[length] = 0;
    Value* symbol = make(SYMBOL, (Value*)text, *symbols);
    cairn_store(symbols, symbol);
    return symbol;
}
static Value* symbol(const char* name) {
    return intern(name, strlen(name));
}

/* ---- reading and printing */

static void skip_blanks(const char** at) {
    for (;; ++*at) {
        if (**at == ';') *at += strcspn(*at, "\n");
        if (**at == 0 || !isspace((unsigned char)**at)) return;
    }
}

static Value* read_value(const char** at);

static Value* read_list(const char** at) {
    skip_blanks(at);
    if (**at == 0) die("a list without its end");
    if (**at == ')') return ++*at, nil;
    Value* first = read_value(at);
    return cons(first, read_list(at));
}

static Value* read_value(const char** at) {
    skip_blanks(at);
    if (**at == '(') return ++*at, read_list(at);
    if (**at == '\'') {
        ++*at;
        return cons(quote, cons(read_value(at), nil));
    }
    const size_t length = strcspn(*at, " \t\n();'");
    if (length == 0) die("a value is missing");
    char* end = NULL;
    const long n = strtol(*at, &end, 10);
    Value* value = end == *at + length ? number(n) : intern(*at, length);
    *at += length;
    return value;
}

static void print(const Value* value, FILE* to) {
    switch (value->kind) {
    case NUMBER: fprintf(to, "%ld", value->of.number); return;
    case SYMBOL: fputs(value == nil ? "()" : (const char*)value->a, to); return;
    case NATIVE: fputs("<native>", to); return;
    case CLOSURE: fputs("<closure>", to); return;
    case PAIR: break;
    }
    char before = '(';
    for (; value->kind == PAIR; value = value->b, before = ' ') {
        fputc(before, to);
        print(value->a, to);
    }
    if (value != nil) fputs(" . ", to), print(value, to);
    fputc(')', to);
}

/* ---- names: a list of (name . value), the globals behind all others */

static Value* find(Value* name, Value* names) {
    for (; names != nil; names = names->b)
        if (names->a->a == name) return names->a;
    for (names = *globals; names != nil; names = names->b)
        if (names->a->a == name) return names->a;
    fprintf(stderr, "lisp: nobody knows %s\n", (const char*)name->a);
    exit(1);
}
static void define_global(Value* name, Value* value) {
    cairn_store(globals, cons(cons(name, value), *globals));
}

/* ---- evaluation */

static Value* eval(Value* form, Value* names);

static Value* eval_all(Value* forms, Value* names) {
    if (forms == nil) return nil;
    Value* first = eval(car(forms), names);
    return cons(first, eval_all(cdr(forms), names));
}

static Value* bind(Value* parameters, Value* arguments, Value* names) {
    for (; parameters->kind == PAIR; parameters = parameters->b, arguments = cdr(arguments))
        names = cons(cons(parameters->a, car(arguments)), names);
    return parameters == nil ? names : cons(cons(parameters, arguments), names);
}

/* All but the last are evaluated here; the last one is the caller's tail. */
static Value* last_of(Value* body, Value* names) {
    for (; cdr(body) != nil; body = cdr(body)) eval(car(body), names);
    return car(body);
}

static Value* eval_let(Value* bindings, Value* names) {
    Value* inside = names;
    for (; bindings != nil; bindings = cdr(bindings)) {
        Value* value = eval(second(car(bindings)), names);
        inside = cons(cons(car(car(bindings)), value), inside);
    }
    return inside;
}

/* Forms that give a value at once; NULL: it is none of them. */
static Value* eval_special(Value* form, Value* names) {
    Value* head = form->a;
    if (head == quote) return second(form);
    if (head == lambda) return make(CLOSURE, cdr(form), names);
    if (head == define) {
        define_global(second(form), eval(third(form), names));
        return second(form);
    }
    if (head != set) return NULL;
    Value* value = eval(third(form), names);
    cairn_store(&find(second(form), names)->b, value);
    return value;
}

static Value* eval(Value* form, Value* names) {
    for (;;) {
        if (form->kind == SYMBOL) return form == nil || form == truth ? form : find(form, names)->b;
        if (form->kind != PAIR) return form;
        Value* value = eval_special(form, names);
        if (value != NULL) return value;
        if (form->a == if_) {
            form = eval(second(form), names) != nil ? third(form) : car(cdr(cdr(cdr(form))));
        } else if (form->a == begin) {
            form = last_of(cdr(form), names);
        } else if (form->a == let) {
            Value* body = cdr(cdr(form));
            names = eval_let(second(form), names);
            form = last_of(body, names);
        } else {
            Value* function = eval(form->a, names);
            Value* arguments = eval_all(form->b, names);
            if (function->kind == NATIVE) return function->of.native(arguments);
            if (function->kind != CLOSURE) die("no function");
            names = bind(car(function->a), arguments, function->b);
            form = last_of(cdr(function->a), names);
        }
    }
}

/* ---- functions of C */

static Value* truth_of(int is_true) {
    return is_true ? truth : nil;
}
static Value* add(Value* v) {
    return number(value_of(car(v)) + value_of(second(v)));
}
static Value* subtract(Value* v) {
    return number(value_of(car(v)) - value_of(second(v)));
}
static Value* multiply(Value* v) {
    return number(value_of(car(v)) * value_of(second(v)));
}
static Value* rest_of_division(Value* v) {
    if (value_of(second(v)) == 0) die("division by zero");
    return number(value_of(car(v)) % value_of(second(v)));
}
static Value* less(Value* v) {
    return truth_of(value_of(car(v)) < value_of(second(v)));
}
static Value* equal(Value* v) {
    Value *a = car(v), *b = second(v);
    return truth_of(a == b || (a->kind == NUMBER && b->kind == NUMBER && a->of.number == b->of.number));
}
static Value* cons_native(Value* v) {
    return cons(car(v), second(v));
}
static Value* car_native(Value* v) {
    return car(car(v));
}
static Value* cdr_native(Value* v) {
    return cdr(car(v));
}
static Value* is_pair(Value* v) {
    return truth_of(car(v)->kind == PAIR);
}
static Value* collect(Value* v) {
    (void)v;
    cairn_collect();
    return nil;
}

static void start(void) {
    static const struct {
        const char* name;
        Native native;
    } natives[] = {{"+", add},          {"-", subtract},    {"*", multiply},       {"%", rest_of_division},
                   {"<", less},         {"=", equal},       {"cons", cons_native}, {"car", car_native},
                   {"cdr", cdr_native}, {"pair?", is_pair}, {"collect", collect}};
    symbols = cairn_root_create(NULL);
    globals = cairn_root_create(NULL);
    if (symbols == NULL || globals == NULL) die("out of memory");
    nil = symbol("nil"), truth = symbol("t"), quote = symbol("quote"), if_ = symbol("if"),
    lambda = symbol("lambda");
    define = symbol("define"), set = symbol("set!"), begin = symbol("begin"), let = symbol("let");
    cairn_store(globals, nil);
    for (size_t i = 0; i < sizeof natives / sizeof *natives; ++i) {
        Value* value = make(NATIVE, NULL, NULL);
        value->of.native = natives[i].native;
        define_global(symbol(natives[i].name), value);
    }
}

/* ---- programs */

static const char library[] =
    "(define not (lambda (x) (if x nil t)))"
    "(define range (lambda (a b) (if (< a b) (cons a (range (+ a 1) b)) nil)))"
    "(define fold (lambda (f seed list) (if list (fold f (f seed (car list)) (cdr list)) seed)))"
    "(define reverse (lambda (list) (fold (lambda (done x) (cons x done)) nil list)))"
    "(define map (lambda (f list) (if list (cons (f (car list)) (map f (cdr list))) nil)))"
    "(define filter (lambda (f list) (if list (let ((rest (filter f (cdr list))))"
    "  (if (f (car list)) (cons (car list) rest) rest)) nil)))"
    "(define append (lambda (a b) (if a (cons (car a) (append (cdr a) b)) b)))"
    "(define sort (lambda (list) (if list (let ((pivot (car list)) (others (cdr list)))"
    "  (append (sort (filter (lambda (x) (< x pivot)) others))"
    "    (cons pivot (sort (filter (lambda (x) (not (< x pivot))) others))))) nil)))";

static const struct {
    const char *program, *result;
} checks[] = {
    {"(define fib (lambda (n) (if (< n 2) n (+ (fib (- n 1)) (fib (- n 2)))))) (fib 20)", "6765"},
    {"(map (lambda (x) (* x x)) (range 0 10))", "(0 1 4 9 16 25 36 49 64 81)"},
    {"(fold + 0 (range 0 1000))", "499500"},
    {"(define loop (lambda (n sum) (if (= n 0) sum (loop (- n 1) (+ sum n))))) (loop 300000 0)",
     "45000150000"},
    {"(let ((n 0)) (define tick (lambda () (begin (set! n (+ n 1)) n)))) (tick) (collect) (tick) (tick)",
     "3"},
    {"(define numbers (lambda (n x) (if (= n 0) nil (cons x (numbers (- n 1) (% (+ (* x 5) 3) 97))))))"
     "(sort (numbers 12 1))",
     "(1 8 24 26 34 36 43 45 75 76 86 92)"},
    {"(reverse '(a (b c) 3 d))", "(d 3 (b c) a)"},
};

static Value* run(const char* text, int is_printing) {
    Value* value = nil;
    for (skip_blanks(&text); *text != 0; skip_blanks(&text)) {
        value = eval(read_value(&text), nil);
        if (is_printing) print(value, stdout), putchar('\n');
    }
    return value;
}

static int run_file(const char* name) {
    FILE* file = fopen(name, "r");
    if (file == NULL) die("no such file");
    char* text = cairn_alloc_noscan(1 << 20);
    if (text == NULL) die("out of memory");
    text[fread(text, 1, (1 << 20) - 1, file)] = 0;
    fclose(file);
    run(text, 1);
    return 0;
}

int main(int count, char** arguments) {
    start();
    run(library, 0);
    if (count > 1) return run_file(arguments[1]);
    int wrong = 0;
    for (size_t i = 0; i < sizeof checks / sizeof *checks; ++i) {
        char text[256] = {0};
        FILE* to = fmemopen(text, sizeof text - 1, "w");
        if (to == NULL) die("no memory stream");
        print(run(checks[i].program, 0), to);
        fclose(to);
        const int is_right = strcmp(text, checks[i].result) == 0;
        printf("%-8s %s\n", is_right ? "right" : "WRONG", text);
        wrong += !is_right;
    }
    cairn_stats_t stats = {.size = sizeof stats};
    cairn_collect();
    cairn_stats(&stats);
    printf("%llu cycles, %.0f MB allocated, %.2f MB live\n", (unsigned long long)stats.cycles,
           (double)stats.allocated_bytes / 1e6, (double)stats.heap_live_bytes / 1e6);
    return wrong != 0 || stats.heap_live_bytes > 5000000;
}
