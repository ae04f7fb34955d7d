/*
 * conformance.h - what the files of the conformance server share
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <sioc/cluster.h>
#include <sioc/engineio.h>
#include <sioc/server.h>

/* Longest id of a socket, with its NUL: "/namespace#..." for clients of Socket.IO 2. */
#define ID_SIZE 340

/* Somebody wants to know when a socket goes. */
struct watch {
    struct watch *next;
    struct sio_namespace *ns;
    char watcher[ID_SIZE];
    char target[ID_SIZE];
};

struct app {
    struct net_loop *loop;
    struct eio_server *engine; /* with --raw-engine */
    struct sio_server *server; /* without */
    struct sio_namespace *dynamic;
    struct watch *watches;
    struct slow *slow; /* joins that take their time */
    bool recovery;
    struct sio_cluster *cluster; /* NULL: alone */
    const char *name;            /* among the servers of the cluster */
};

/* conformance_args.c: arguments and answers */

struct sio_str str(const char *s);
bool is_id(struct sio_str id, const char *text);
void copy_id(char out[ID_SIZE], const struct sio_socket *s);
/* The i-th argument if it is a text, else NULL. */
const char *text_arg(struct sio_event *e, size_t i);
/* The i-th argument as a number from 0 to max; 0 if it is none. */
uint32_t number_arg(struct sio_event *e, size_t i, uint32_t max);
void add_text(cJSON *list, struct sio_str s);
/* Sends and frees; m NULL: out of memory, then nothing is sent. */
void send_to(struct sio_socket *s, struct sio_message *m);
/* Answers with one value and frees it. */
void answer(struct sio_event *e, cJSON *value);
void answer_nothing(struct sio_event *e);

/* The events of each file; user is the app.  SIO_OK or SIO_ERR_NOMEM. */

struct event_handler {
    const char *event;
    sio_event_cb cb;
};
int add_handlers(struct sio_namespace *ns, const struct event_handler *list, size_t n,
                 struct app *app);
int add_room_events(struct sio_namespace *ns, struct app *app);
int add_question_events(struct sio_namespace *ns, struct app *app);
int add_who_events(struct sio_namespace *ns, struct app *app);

/* conformance_who.c */
void tell_watchers(struct app *app, struct sio_socket *s,
                   enum sio_disconnect_reason reason);
void free_watches(struct app *app);

/* conformance_namespaces.c: makes all namespaces.  SIO_OK or SIO_ERR_NOMEM. */
int add_namespaces(struct app *app);
/* Refuses whoever still waits; while the loop is there. */
void end_joins(struct app *app);

#endif
