#include <config.h>

#include "socketio/admin_auth.h"

#include <crypt.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "net/worker.h"

#define HASH_LEN      60 /* "$2b$10$" + 22 of salt + 31 */
#define PASSWORD_MAX  72 /* bcrypt looks at no more */
#define ADDRESS_MAX   64
#define MAX_WAITING   8
#define MAX_FAILURES  5 /* of an address, in the time below */
#define FAILURE_MS    60000
#define FAILURES_KEPT 64
#define SESSIONS_MAX  32
#define SESSION_MS    (24 * 3600 * 1000)

#define BCRYPT_ALPHABET                                      \
    "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" \
    "0123456789"

struct failure {
    char address[ADDRESS_MAX];
    uint64_t time_ms;
};

struct session {
    char id[RANDOM_ID_LEN + 1]; /* "": free */
    uint64_t expires_ms;
};

struct attempt {
    struct net_job job;
    struct list link;            /* while it waits */
    struct sio_admin_auth *auth; /* NULL: has ended; the loop's thread's */
    sio_admin_auth_cb cb;
    void *user;
    char address[ADDRESS_MAX];

    /* The thread's, until it is done. */
    char hash[HASH_LEN + 1];
    char password[PASSWORD_MAX + 1];
    bool possible; /* the name is right, and the password not too long */
    bool ok;
    struct crypt_data data;
};

struct sio_admin_auth {
    struct net_loop *loop;
    char *username;
    char hash[HASH_LEN + 1];
    struct attempt *running; /* or NULL */
    struct list waiting;     /* struct attempt.link */
    unsigned n_waiting;
    struct failure failures[FAILURES_KEPT]; /* a ring */
    unsigned next_failure;
    struct session sessions[SESSIONS_MAX];
};

bool sio_admin_hash_valid(const char *hash)
{
    return strlen(hash) == HASH_LEN && hash[0] == '$' && hash[1] == '2' &&
           strchr("abxy", hash[2]) && hash[3] == '$' && strchr("0123", hash[4]) &&
           strchr("0123456789", hash[5]) && hash[6] == '$' &&
           strspn(hash + 7, BCRYPT_ALPHABET) == HASH_LEN - 7;
}

/* Takes as long wherever they differ. */
static bool same(const char *a, const char *b, size_t len)
{
    unsigned char differ = 0;

    for (size_t i = 0; i < len; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return differ == 0;
}

struct sio_admin_auth *sio_admin_auth_new(struct net_loop *loop, const char *username,
                                          const char *hash)
{
    struct sio_admin_auth *a = mem_new(struct sio_admin_auth);

    if (!a)
        return NULL;
    a->loop = loop;
    list_init(&a->waiting);
    memcpy(a->hash, hash, HASH_LEN);
    a->username = mem_strndup(username, strlen(username));
    if (!a->username) {
        mem_free(a);
        return NULL;
    }
    return a;
}

static void attempt_free(struct attempt *t)
{
    explicit_bzero(t->password, sizeof(t->password));
    explicit_bzero(&t->data, sizeof(t->data));
    mem_free(t);
}

/* Tells an attempt that waits, and frees it. */
static void give_up(struct attempt *t, int status)
{
    sio_admin_auth_cb cb = t->cb;
    void *user = t->user;

    list_remove(&t->link);
    attempt_free(t);
    cb(status, user);
}

void sio_admin_auth_free(struct sio_admin_auth *a)
{
    if (!a)
        return;
    if (a->running) {
        a->running->auth = NULL;
        a->running->cb(SIO_ERR_CLOSED, a->running->user);
    }
    while (!list_empty(&a->waiting))
        give_up(container_of(a->waiting.next, struct attempt, link), SIO_ERR_CLOSED);
    explicit_bzero(a->sessions, sizeof(a->sessions));
    mem_free(a->username);
    mem_free(a);
}

static struct attempt *attempt_of(struct net_job *job)
{
    return container_of(job, struct attempt, job);
}

static void compute(struct net_job *job)
{
    struct attempt *t = attempt_of(job);
    /* Unlike crypt_r it can fail, and no sanitizer puts itself in its place. */
    const char *got = crypt_rn(t->password, t->hash, &t->data, sizeof(t->data));

    t->ok =
        got && strlen(got) == HASH_LEN && same(got, t->hash, HASH_LEN) && t->possible;
}

static void on_dropped(struct net_job *job)
{
    attempt_free(attempt_of(job));
}

static bool fails_too_often(const struct sio_admin_auth *a, const char *address)
{
    uint64_t now_ms = net_loop_now_ms(a->loop);
    unsigned n = 0;

    for (size_t i = 0; i < FAILURES_KEPT; i++)
        n += a->failures[i].time_ms > 0 &&
             a->failures[i].time_ms + FAILURE_MS > now_ms &&
             strcmp(a->failures[i].address, address) == 0;
    return n >= MAX_FAILURES;
}

static void note_failure(struct sio_admin_auth *a, const char *address)
{
    struct failure *f = &a->failures[a->next_failure++ % FAILURES_KEPT];

    memcpy(f->address, address, sizeof(f->address));
    f->time_ms = net_loop_now_ms(a->loop);
}

static void start_next(struct sio_admin_auth *a);

static void on_done(struct net_job *job)
{
    struct attempt *t = attempt_of(job);
    struct sio_admin_auth *a = t->auth;
    sio_admin_auth_cb cb = t->cb;
    void *user = t->user;
    bool ok = t->ok;

    if (a) {
        a->running = NULL;
        if (!ok)
            note_failure(a, t->address);
        start_next(a);
    }
    attempt_free(t);
    if (a)
        cb(ok ? SIO_OK : SIO_ERR_REFUSED, user);
}

/* Who cannot be served now is told so. */
static void start_next(struct sio_admin_auth *a)
{
    while (!a->running && !list_empty(&a->waiting)) {
        struct attempt *t = container_of(a->waiting.next, struct attempt, link);

        list_remove(&t->link);
        a->n_waiting--;
        a->running = t;
        if (net_job_start(a->loop, &t->job) < 0) {
            a->running = NULL;
            give_up(t, SIO_ERR_NOMEM);
        }
    }
}

int sio_admin_auth_check(struct sio_admin_auth *a, struct sio_str address,
                         struct sio_str username, struct sio_str password,
                         sio_admin_auth_cb cb, void *user)
{
    size_t name_len = strlen(a->username);
    struct attempt *t;

    if (a->n_waiting >= MAX_WAITING)
        return SIO_ERR_FULL;
    t = mem_new(struct attempt);
    if (!t)
        return SIO_ERR_NOMEM;
    if (address.len >= sizeof(t->address))
        address.len = sizeof(t->address) - 1;
    memcpy(t->address, address.ptr, address.len);
    if (fails_too_often(a, t->address)) {
        mem_free(t);
        return SIO_ERR_FULL;
    }
    t->job = (struct net_job){.work = compute, .done = on_done, .drop = on_dropped};
    t->auth = a;
    t->cb = cb;
    t->user = user;
    memcpy(t->hash, a->hash, sizeof(t->hash));
    /* A wrong name takes as long as a wrong password. */
    t->possible =
        username.len == name_len && same(username.ptr, a->username, name_len) &&
        password.len <= PASSWORD_MAX && !memchr(password.ptr, '\0', password.len);
    if (password.len <= PASSWORD_MAX)
        memcpy(t->password, password.ptr, password.len);
    list_append(&a->waiting, &t->link);
    a->n_waiting++;
    start_next(a);
    return SIO_OK;
}

void sio_admin_session_new(struct sio_admin_auth *a, char id[RANDOM_ID_LEN + 1])
{
    struct session *oldest = &a->sessions[0];

    for (size_t i = 1; i < SESSIONS_MAX; i++)
        if (a->sessions[i].expires_ms < oldest->expires_ms)
            oldest = &a->sessions[i];
    random_id(net_loop_random(a->loop), oldest->id);
    oldest->expires_ms = net_loop_now_ms(a->loop) + SESSION_MS;
    memcpy(id, oldest->id, sizeof(oldest->id));
}

bool sio_admin_session_known(const struct sio_admin_auth *a, struct sio_str id)
{
    uint64_t now_ms = net_loop_now_ms(a->loop);
    bool known = false;

    if (id.len != RANDOM_ID_LEN)
        return false;
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        known |= a->sessions[i].expires_ms > now_ms &&
                 same(a->sessions[i].id, id.ptr, RANDOM_ID_LEN);
    return known;
}
