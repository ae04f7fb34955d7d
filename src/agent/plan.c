#include <config.h>

#include "agent/plan.h"

#include "agent/logins.h"

#define ALL_DONE 0xff

/* One more endpoint whose login must not be tried for ms. */
static void note_refused(struct agent_round *round, uint64_t ms)
{
    round->n_refused++;
    if (round->retry_ms == 0 || ms < round->retry_ms)
        round->retry_ms = ms;
}

void agent_plan_init(struct agent_plan *p, const struct agent_source *source,
                     struct agent_memory *memory, uint64_t now_ms)
{
    *p = (struct agent_plan){.source = source, .memory = memory};
    for (size_t i = 0; i < source->n_endpoints; i++) {
        uint64_t until = memory->endpoint[i].refused_until_ms;

        if (until <= now_ms)
            continue;
        p->done |= (uint8_t)(1u << i);
        note_refused(&p->round, until - now_ms);
    }
}

static bool is_open(const struct agent_plan *p, size_t attempt)
{
    return !(p->tried >> attempt & 1) &&
           !(p->done >> p->source->attempts[attempt].endpoint & 1);
}

/* The attempts of an endpoint stand together. */
static void find_attempts(const struct agent_source *s, size_t endpoint, size_t *first,
                          size_t *n)
{
    *first = *n = 0;
    for (size_t i = 0; i < s->n_attempts; i++)
        if (s->attempts[i].endpoint == endpoint && (*n)++ == 0)
            *first = i;
}

int agent_plan_next(const struct agent_plan *p)
{
    if (p->memory->worked > 0 && is_open(p, p->memory->worked - 1u))
        return p->memory->worked - 1;
    for (size_t e = 0; e < p->source->n_endpoints; e++) {
        size_t first;
        size_t n;

        find_attempts(p->source, e, &first, &n);
        for (size_t i = 0; i < n; i++) {
            size_t attempt = first + (p->memory->endpoint[e].first + i) % n;

            if (is_open(p, attempt))
                return (int)attempt;
        }
    }
    return -1;
}

bool agent_plan_is_proven(const struct agent_plan *p, int attempt)
{
    return p->memory->worked == attempt + 1;
}

static void refuse(struct agent_plan *p, size_t e, uint64_t now_ms)
{
    uint8_t n = p->memory->endpoint[e].n_refused;
    uint64_t ms;

    if (n < UINT8_MAX)
        n++;
    ms = agent_logins_pause_ms(n);
    p->memory->endpoint[e].n_refused = n;
    p->memory->endpoint[e].refused_until_ms = now_ms + ms;
    note_refused(&p->round, ms);
}

void agent_plan_lock(struct agent_plan *p, int attempt, uint64_t ms)
{
    p->tried |= (uint16_t)(1u << attempt);
    p->done |= (uint8_t)(1u << p->source->attempts[attempt].endpoint);
    note_refused(&p->round, ms);
}

void agent_plan_result(struct agent_plan *p, int attempt, enum agent_outcome outcome,
                       uint64_t now_ms)
{
    size_t e = p->source->attempts[attempt].endpoint;
    uint8_t this_endpoint = (uint8_t)(1u << e);
    size_t first;
    size_t n;

    p->tried |= (uint16_t)(1u << attempt);
    switch (outcome) {
    case AGENT_PICTURE:
        p->memory->worked = (uint8_t)(attempt + 1);
        p->memory->endpoint[e].n_refused = 0;
        p->memory->endpoint[e].refused_until_ms = 0;
        p->done = ALL_DONE;
        break;
    case AGENT_SILENT:
        p->round.n_silent++;
        p->done |= this_endpoint;
        break;
    case AGENT_CLOSED:
        p->round.n_closed++;
        p->done |= this_endpoint;
        break;
    case AGENT_TIMEOUT:
        p->round.n_other++;
        p->done |= this_endpoint;
        find_attempts(p->source, e, &first, &n);
        p->memory->endpoint[e].first = (uint8_t)(((size_t)attempt - first + 1) % n);
        break;
    case AGENT_REFUSED:
        refuse(p, e, now_ms);
        p->done |= this_endpoint;
        break;
    case AGENT_NO_PICTURE: p->round.n_other++; break;
    case AGENT_NO_MEMORY:
        p->round.out_of_memory = true;
        p->done = ALL_DONE;
        break;
    case AGENT_CANCELLED: p->done = ALL_DONE; break;
    }
}

/* The endpoint that an operator looks at when nothing is open: the last one. */
static void write_closed(const struct agent_source *s, struct wbuf *w)
{
    const struct agent_endpoint *e = &s->endpoints[s->n_endpoints - 1];

    wbuf_addf(
        w, "El puerto %u (%s) está cerrado en %s. Verifica configuración de la cámara.",
        (unsigned)e->port, e->service == AGENT_SERVICE_HTTP ? "HTTP" : "RTSP", s->id);
}

static void write_refused(const struct agent_plan *p, struct wbuf *w)
{
    const char *user = agent_source_user(p->source);

    wbuf_addf(w,
              "Error al capturar de %s: la cámara rechaza las credenciales (usuario: ",
              p->source->id);
    wbuf_add_cstr(w, user[0] ? user : "ninguno");
    wbuf_addf(w, "); próximo intento en %u min",
              (unsigned)((p->round.retry_ms + 59999) / 60000));
}

static void write_no_picture(const struct agent_source *s, struct wbuf *w)
{
    const char *user = agent_source_user(s);

    wbuf_addf(w, "No se pudo conectar a %s. URLs intentadas: ", s->id);
    for (size_t i = 0; i < s->n_attempts; i++) {
        if (i > 0)
            wbuf_add_cstr(w, ", ");
        agent_source_show(s, i, w);
    }
    wbuf_addf(w, "\n   Verifica: IP (%s), credenciales (usuario: ", s->id);
    wbuf_add_cstr(w, user[0] ? user : "ninguno");
    wbuf_add_cstr(w, "), y que la cámara esté encendida");
}

void agent_plan_error(const struct agent_plan *p, struct wbuf *w)
{
    const struct agent_round *r = &p->round;

    if (r->out_of_memory)
        wbuf_addf(w, "Error al capturar de %s: memoria insuficiente", p->source->id);
    else if (r->n_refused > 0)
        write_refused(p, w);
    else if (r->n_other > 0)
        write_no_picture(p->source, w);
    else if (r->n_closed > 0)
        write_closed(p->source, w);
    else
        wbuf_addf(w,
                  "La cámara %s no responde al ping. Verifica que esté encendida y en "
                  "la red.",
                  p->source->id);
}
