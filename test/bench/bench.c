/*
 * bench.c - drives a Socket.IO server and tells what it costs the server
 */
#include "bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: bench COMMAND --port PORT[,PORT...] --pid PID[,PID...] [options]\n"
    "  broadcast  a publisher emits pictures, viewers receive snapshot_update\n"
    "             --conns VIEWERS --size CHARACTERS --count PICTURES [--event NAME]\n"
    "             [--rate PER-SECOND] [--slow VIEWERS-THAT-NEVER-READ]\n"
    "  echo       --conns N --count MESSAGES --event NAME; each waits for its ack\n"
    "  idle       --conns N sessions, resident memory of each\n"
    "  connect    --count N connections, --conns at a time\n"
    "  get        --count N requests over --conns connections, --path TARGET\n"
    "  start      --port PORT -- PROGRAM [ARGUMENT...]; time until it accepts\n"
    "CPU is the server's own, of the processes named with --pid.  Of several ports, "
    "those\n"
    "of servers that act as one, the publisher is at the first, viewers take turns.\n";

static const struct command {
    const char *name;
    int (*run)(const struct bench_options *o);
} commands[] = {
    {"broadcast", bench_broadcast}, {"echo", bench_echo}, {"idle", bench_idle},
    {"connect", bench_connect},     {"get", bench_get},   {"start", bench_start},
};

enum {
    OPT_HOST = 1,
    OPT_PORT,
    OPT_PATH,
    OPT_EVENT,
    OPT_PID,
    OPT_CONNS,
    OPT_SLOW,
    OPT_COUNT,
    OPT_SIZE,
    OPT_RATE
};

static const struct option long_options[] = {
    {"host", required_argument, NULL, OPT_HOST},
    {"port", required_argument, NULL, OPT_PORT},
    {"path", required_argument, NULL, OPT_PATH},
    {"event", required_argument, NULL, OPT_EVENT},
    {"pid", required_argument, NULL, OPT_PID},
    {"conns", required_argument, NULL, OPT_CONNS},
    {"slow", required_argument, NULL, OPT_SLOW},
    {"count", required_argument, NULL, OPT_COUNT},
    {"size", required_argument, NULL, OPT_SIZE},
    {"rate", required_argument, NULL, OPT_RATE},
    {NULL, 0, NULL, 0},
};

static int number(const char *text, int *out)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (end == text || *end != '\0' || n < 0 || n > 100000000)
        return -1;
    *out = (int)n;
    return 0;
}

/* The first is for what has one connection, or one server. */
static int set_ports(struct bench_options *o, char *list)
{
    char *text;

    o->n_ports = 0;
    while ((text = strsep(&list, ",")) != NULL) {
        if (o->n_ports == PROC_MAX || number(text, &o->ports[o->n_ports++]) < 0)
            return -1;
    }
    o->port = o->ports[0];
    return 0;
}

static int set_option(struct bench_options *o, int opt)
{
    switch (opt) {
    case OPT_HOST: o->host = optarg; return 0;
    case OPT_PATH: o->path = optarg; return 0;
    case OPT_EVENT: o->event = optarg; return 0;
    case OPT_PID: return proc_set_parse(&o->server, optarg);
    case OPT_PORT: return set_ports(o, optarg);
    case OPT_CONNS: return number(optarg, &o->conns);
    case OPT_SLOW: return number(optarg, &o->slow);
    case OPT_COUNT: return number(optarg, &o->count);
    case OPT_SIZE: return number(optarg, &o->size);
    case OPT_RATE: return number(optarg, &o->rate);
    default: return -1;
    }
}

int main(int argc, char **argv)
{
    struct bench_options o = {.host = "127.0.0.1",
                              .path = "/api/status",
                              .event = "snapshot",
                              .conns = 10,
                              .count = 100,
                              .size = 100000};
    int opt;

    if (argc < 2 || argv[1][0] == '-') {
        fputs(usage, stderr);
        return 2;
    }
    optind = 2;
    while ((opt = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
        if (set_option(&o, opt) < 0) {
            fprintf(stderr, "bench: bad option\n%s", usage);
            return 2;
        }
    }
    o.argv = argv + optind;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(&o) < 0 ? 1 : 0;
    }
    fputs(usage, stderr);
    return 2;
}
