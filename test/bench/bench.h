/*
 * bench.h - the benchmarks; each prints one line of key=value figures
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "proc.h"

struct bench_options {
    const char *host;
    int port;
    int ports[PROC_MAX]; /* of servers that act as one: viewers take turns */
    int n_ports;
    const char *path;  /* request target of GETs */
    const char *event; /* that the publisher or the echo client emits */
    struct proc_set server;
    int conns;         /* viewers, echo clients, sessions */
    int slow;          /* viewers that never read */
    int count;         /* pictures, messages, requests, connections */
    int size;          /* base64 characters of a picture */
    int rate;          /* pictures a second; 0: the next one when all have this one */
    char *const *argv; /* of a server to start */
};

/* 0, or -1 after a message on standard error. */
int bench_broadcast(const struct bench_options *o);
int bench_echo(const struct bench_options *o);
int bench_idle(const struct bench_options *o);
int bench_connect(const struct bench_options *o);
int bench_get(const struct bench_options *o);
int bench_start(const struct bench_options *o);

#endif
