/*
 * proc.h - what a process under test costs, read from /proc
 */
#ifndef BENCH_PROC_H
#define BENCH_PROC_H

#include <stdint.h>
#include <sys/types.h>

#define PROC_MAX 8

/* The processes of one server: its workers count together. */
struct proc_set {
    pid_t pid[PROC_MAX];
    int n;
};

/* Parses "PID[,PID...]"; 0, or -1. */
int proc_set_parse(struct proc_set *s, const char *text);

/*
 * CPU time used so far by all threads, user and system, in nanoseconds: from schedstat,
 * or, where the kernel keeps none, from stat (in steps of a clock tick).
 */
uint64_t proc_cpu_ns(const struct proc_set *s);

/* Resident bytes now, and the largest since proc_peak_reset. */
uint64_t proc_rss(const struct proc_set *s);
uint64_t proc_peak(const struct proc_set *s);
void proc_peak_reset(const struct proc_set *s);

/* Monotonic time in nanoseconds. */
uint64_t now_ns(void);

#endif
