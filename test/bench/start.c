/*
 * start.c - from exec to the first accepted connection, and memory once idle
 */
#include "bench.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_START_NS 20000000000u

static int accepts(const struct sockaddr_in *addr)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rv = connect(fd, (const struct sockaddr *)addr, sizeof *addr);

    close(fd);
    return rv == 0;
}

static void pause_us(long us)
{
    struct timespec t = {.tv_nsec = us * 1000};

    nanosleep(&t, NULL);
}

static pid_t spawn(char *const *argv)
{
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

        dup2(null, 1);
        dup2(null, 2);
        execvp(argv[0], argv);
        _exit(127);
    }
    return pid;
}

int bench_start(const struct bench_options *o)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)o->port)};
    struct proc_set s = {.n = 1};
    uint64_t begun = now_ns(), up;
    int status;

    if (o->argv[0] == NULL || inet_pton(AF_INET, o->host, &addr.sin_addr) != 1)
        return -1;
    s.pid[0] = spawn(o->argv);
    if (s.pid[0] < 0)
        return -1;
    while (!accepts(&addr)) {
        if (waitpid(s.pid[0], &status, WNOHANG) != 0 ||
            now_ns() - begun > MAX_START_NS) {
            fprintf(stderr, "bench: %s does not listen on port %d\n", o->argv[0],
                    o->port);
            kill(s.pid[0], SIGKILL);
            return -1;
        }
        pause_us(200);
    }
    up = now_ns() - begun;
    pause_us(500000);
    printf("start_ms=%.1f idle_mb=%.1f\n", (double)up / 1e6,
           (double)proc_rss(&s) / 1e6);
    kill(s.pid[0], SIGTERM);
    waitpid(s.pid[0], &status, 0);
    return 0;
}
