/*
 * hub/programs.h - programs that the API starts (POST /api/ejecutar/...)
 *
 * Only what the configuration names, as a path and fixed arguments; a camera's address,
 * where there is one, is one more argument, checked.  There is no shell.
 */
#ifndef HUB_PROGRAMS_H
#define HUB_PROGRAMS_H

#include <stddef.h>
#include <sys/types.h>

#include <sioc/error.h>

struct hub;

#define HUB_PROGRAMS_MAX 16 /* that run at the same time */

enum hub_program {
    HUB_PROGRAM_DETECTAR,
    HUB_PROGRAM_CERCAS,
    HUB_PROGRAM_VIGILANCIA, /* with a camera's address */
    HUB_PROGRAM_MONITOREO,
    HUB_PROGRAM_MONITOREO_CERCAS,
    HUB_N_PROGRAMS,
};

struct hub_programs {
    struct hub_running {
        pid_t pid; /* 0: free */
        enum hub_program which;
        char *ip; /* or NULL */
    } running[HUB_PROGRAMS_MAX];
    struct hub_program_route {
        struct hub *hub;
        enum hub_program which;
    } routes[HUB_N_PROGRAMS];
};

/* Checks that what is configured can be run.  SIO_OK, or an error with diag. */
int hub_programs_check(const struct hub *hub, struct sio_diag *diag);

/* Routes /api/ejecutar.  SIO_OK or SIO_ERR_NOMEM. */
int hub_programs_route(struct hub *hub);

/* Notes which have ended; called now and then. */
void hub_programs_reap(struct hub *hub);

/* Asks those that run to end. */
void hub_programs_fini(struct hub *hub);

#endif
