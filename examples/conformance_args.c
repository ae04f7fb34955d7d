/*
 * conformance_args.c - arguments of events, and answers
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"

struct sio_str str(const char *s)
{
    return sio_str_from(s);
}

const char *text_arg(struct sio_event *e, size_t i)
{
    return cJSON_GetStringValue(sio_event_json(e, i));
}

uint32_t number_arg(struct sio_event *e, size_t i, uint32_t max)
{
    const cJSON *v = sio_event_json(e, i);

    if (!cJSON_IsNumber(v) || !(v->valuedouble >= 0 && v->valuedouble <= max))
        return 0;
    return (uint32_t)v->valuedouble;
}

void send_to(struct sio_socket *s, struct sio_message *m)
{
    if (m)
        sio_socket_emit(s, m);
    sio_message_free(m);
}

void answer(struct sio_event *e, cJSON *value)
{
    struct sio_message *m = sio_message_new("");

    if (m && sio_message_add_json(m, value) == SIO_OK && sio_event_wants_ack(e))
        sio_event_ack(e, m);
    sio_message_free(m);
    cJSON_Delete(value);
}

void answer_nothing(struct sio_event *e)
{
    if (sio_event_wants_ack(e))
        sio_event_ack(e, NULL);
}

void add_text(cJSON *list, struct sio_str s)
{
    char *copy = strndup(s.ptr, s.len);
    cJSON *item = copy ? cJSON_CreateString(copy) : NULL;

    if (item)
        cJSON_AddItemToArray(list, item);
    free(copy);
}

bool is_id(struct sio_str id, const char *text)
{
    return id.len == strlen(text) && memcmp(id.ptr, text, id.len) == 0;
}

void copy_id(char out[ID_SIZE], const struct sio_socket *s)
{
    struct sio_str id = sio_socket_id(s);

    snprintf(out, ID_SIZE, "%.*s", (int)id.len, id.ptr);
}

int add_handlers(struct sio_namespace *ns, const struct event_handler *list, size_t n,
                 struct app *app)
{
    int rv = SIO_OK;

    for (size_t i = 0; i < n && rv == SIO_OK; i++)
        rv = sio_namespace_on(ns, list[i].event, list[i].cb, app);
    return rv;
}
