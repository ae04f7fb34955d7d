/*
 * format.c - messages in one call: a letter for each argument, as printf has it
 */
#include <config.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include <sioc/client.h>
#include <sioc/server.h>

/* In a struct, since an argument that is a va_list cannot be handed on by pointer. */
struct values {
    va_list list;
};

static int add_text(struct sio_message *m, const char *text)
{
    if (!text)
        return sio_message_add_raw(m, sio_str_from("null"));
    return sio_message_add_string(m, sio_str_from(text));
}

static int add_number(struct sio_message *m, int64_t n)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRId64, n);
    return sio_message_add_raw(m, sio_str_from(text));
}

static int add_double(struct sio_message *m, double d)
{
    const cJSON value = {.type = cJSON_Number, .valuedouble = d};

    return sio_message_add_json(m, &value);
}

static int add_value(struct sio_message *m, char letter, struct values *v)
{
    switch (letter) {
    case ' ': return SIO_OK;
    case 's': return add_text(m, va_arg(v->list, const char *));
    case 'S': return sio_message_add_string(m, va_arg(v->list, struct sio_str));
    case 'i': return add_number(m, va_arg(v->list, int));
    case 'I': return add_number(m, va_arg(v->list, int64_t));
    case 'f': return add_double(m, va_arg(v->list, double));
    case 'b':
        return sio_message_add_raw(
            m, sio_str_from(va_arg(v->list, int) ? "true" : "false"));
    case 'n': return sio_message_add_raw(m, sio_str_from("null"));
    case 'j': return sio_message_add_json(m, va_arg(v->list, const cJSON *));
    case 'r': return sio_message_add_raw(m, va_arg(v->list, struct sio_str));
    case 'B': return sio_message_add_binary(m, va_arg(v->list, struct sio_slice));
    }
    return SIO_ERR_INVAL;
}

static int add_values(struct sio_message *m, const char *format, struct values *v)
{
    int rv = SIO_OK;

    for (; *format && rv == SIO_OK; format++)
        rv = add_value(m, *format, v);
    return rv;
}

/* *out is the caller's; NULL after an error. */
static int new_message(const char *event, const char *format, struct values *v,
                       struct sio_message **out)
{
    int rv = SIO_ERR_NOMEM;

    *out = sio_message_new(event);
    if (*out)
        rv = add_values(*out, format, v);
    if (rv < 0) {
        sio_message_free(*out);
        *out = NULL;
    }
    return rv;
}

struct sio_message *sio_message_newf(const char *event, const char *format, ...)
{
    struct sio_message *m;
    struct values v;

    va_start(v.list, format);
    (void)new_message(event, format, &v, &m);
    va_end(v.list);
    return m;
}

int sio_message_addf(struct sio_message *m, const char *format, ...)
{
    struct values v;
    int rv;

    va_start(v.list, format);
    rv = add_values(m, format, &v);
    va_end(v.list);
    return rv;
}

int sio_event_ackf(struct sio_event *e, const char *format, ...)
{
    struct sio_message *m;
    struct values v;
    int rv;

    if (!sio_event_wants_ack(e))
        return SIO_OK;
    va_start(v.list, format);
    rv = new_message("", format, &v, &m);
    va_end(v.list);
    if (rv == SIO_OK)
        rv = sio_event_ack(e, m);
    sio_message_free(m);
    return rv;
}

int sio_socket_emitf(struct sio_socket *s, const char *event, const char *format, ...)
{
    struct sio_message *m;
    struct values v;
    int rv;

    va_start(v.list, format);
    rv = new_message(event, format, &v, &m);
    va_end(v.list);
    if (rv == SIO_OK)
        rv = sio_socket_emit(s, m);
    sio_message_free(m);
    return rv;
}

int sio_namespace_emitf(struct sio_namespace *ns, const struct sio_target *target,
                        const char *event, const char *format, ...)
{
    struct sio_message *m;
    struct values v;
    int rv;

    va_start(v.list, format);
    rv = new_message(event, format, &v, &m);
    va_end(v.list);
    if (rv == SIO_OK)
        rv = sio_namespace_emit(ns, target, m);
    sio_message_free(m);
    return rv;
}

int sio_client_socket_emitf(struct sio_client_socket *s, const char *event,
                            const char *format, ...)
{
    struct sio_message *m;
    struct values v;
    int rv;

    va_start(v.list, format);
    rv = new_message(event, format, &v, &m);
    va_end(v.list);
    if (rv == SIO_OK)
        rv = sio_client_socket_emit(s, m);
    sio_message_free(m);
    return rv;
}
