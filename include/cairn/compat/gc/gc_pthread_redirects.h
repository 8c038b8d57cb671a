/* Threads of a program that includes gc.h are made through the collector, which then knows their stacks.
   SPDX-License-Identifier: MIT */
#ifndef GC_PTHREAD_REDIRECTS_H
#define GC_PTHREAD_REDIRECTS_H
#include <pthread.h>
#include <signal.h>
#include <dlfcn.h>
#define pthread_create GC_pthread_create
#define pthread_join GC_pthread_join
#define pthread_detach GC_pthread_detach
#define pthread_cancel GC_pthread_cancel
#define pthread_exit GC_pthread_exit
#define pthread_sigmask GC_pthread_sigmask
#define dlopen GC_dlopen
#endif
