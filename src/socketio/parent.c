#include <config.h>

#include "socketio/parent.h"

#include <regex.h>

#include "base/mem.h"
#include "socketio/namespace.h"
#include "socketio/packet.h"
#include "socketio/server.h"

#define DEFAULT_MAX_CHILDREN 10000

/* Names that are matched; a longer one is nobody's. */
#define MAX_NAME 255

struct sio_family {
    struct sio_namespace *parent;
    struct list link; /* in the server's parents */
    struct list children;
    uint32_t n_children;
    uint32_t max_children;
    bool remove_empty;
    sio_match_cb match; /* NULL: the pattern */
    bool compiled;      /* pattern is there */
    regex_t pattern;
};

static struct sio_family *family_new(struct sio_server *server, struct sio_str name,
                                     const struct sio_namespace_ops *ops, void *user)
{
    struct sio_family *f = mem_new(struct sio_family);
    struct sio_namespace *ns =
        f ? sio_namespace_new(server, name, ops, user, true) : NULL;

    if (!ns) {
        mem_free(f);
        return NULL;
    }
    f->parent = ns;
    f->max_children = DEFAULT_MAX_CHILDREN;
    list_init(&f->link);
    list_init(&f->children);
    ns->family = f;
    return f;
}

static struct sio_namespace *publish(struct sio_server *server, struct sio_family *f)
{
    list_append(&server->parents, &f->link);
    if (server->observer)
        server->observer->ops->namespace_made(server->observer, f->parent);
    return f->parent;
}

struct sio_namespace *sio_server_pattern(struct sio_server *server, const char *pattern,
                                         const struct sio_namespace_ops *ops,
                                         void *user)
{
    struct sio_family *f = family_new(server, sio_str_from(pattern), ops, user);

    if (!f)
        return NULL;
    f->compiled = regcomp(&f->pattern, pattern, REG_EXTENDED | REG_NOSUB) == 0;
    if (!f->compiled) {
        sio_namespace_free(f->parent);
        return NULL;
    }
    return publish(server, f);
}

struct sio_namespace *sio_server_dynamic(struct sio_server *server, sio_match_cb match,
                                         const struct sio_namespace_ops *ops,
                                         void *user)
{
    struct sio_family *f = family_new(server, SIO_STR("(dynamic)"), ops, user);

    if (!f)
        return NULL;
    f->match = match;
    return publish(server, f);
}

void sio_family_free(struct sio_family *f)
{
    if (!f)
        return;
    list_remove(&f->link);
    if (f->compiled)
        regfree(&f->pattern);
    mem_free(f);
}

void sio_server_free_parents(struct sio_server *server)
{
    while (!list_empty(&server->parents))
        sio_namespace_free(
            container_of(server->parents.next, struct sio_family, link)->parent);
}

void sio_namespace_set_children(struct sio_namespace *parent, uint32_t max,
                                bool remove_empty)
{
    parent->family->max_children = max ? max : DEFAULT_MAX_CHILDREN;
    parent->family->remove_empty = remove_empty;
}

size_t sio_namespace_n_children(const struct sio_namespace *parent)
{
    return parent->family ? parent->family->n_children : 0;
}

struct sio_namespace *sio_namespace_parent(const struct sio_namespace *ns)
{
    return ns->parent;
}

struct sio_namespace *sio_namespace_next(const struct sio_namespace *ns,
                                         const struct sio_namespace *at)
{
    struct list *children, *next;

    if (!ns->family)
        return at ? NULL : (struct sio_namespace *)ns;
    children = &ns->family->children;
    next = at ? at->siblings.next : children->next;
    return next == children ? NULL : container_of(next, struct sio_namespace, siblings);
}

struct sio_namespace *sio_server_next_parent(const struct sio_server *server,
                                             const struct sio_namespace *at)
{
    const struct list *next = at ? at->family->link.next : server->parents.next;

    return next == &server->parents
               ? NULL
               : container_of(next, struct sio_family, link)->parent;
}

static bool matches(const struct sio_family *f, struct sio_str name,
                    struct sio_str auth)
{
    char text[MAX_NAME + 1];

    if (f->match)
        return f->match(name, auth, f->parent->user);
    memcpy(text, name.ptr, name.len);
    text[name.len] = '\0';
    return regexec(&f->pattern, text, 0, NULL, 0) == 0;
}

static struct sio_family *find_family(struct sio_server *server, struct sio_str name,
                                      struct sio_str auth)
{
    struct sio_family *f;

    if (!sio_nsp_valid(name) || name.len > MAX_NAME || memchr(name.ptr, '\0', name.len))
        return NULL;
    list_for_each (f, struct sio_family, link, &server->parents)
        if (matches(f, name, auth))
            return f;
    return NULL;
}

static struct sio_namespace *make_child(struct sio_family *f, struct sio_str name)
{
    struct sio_namespace *parent = f->parent;
    struct sio_namespace *ns =
        sio_namespace_new(parent->server, name, parent->ops, parent->user, false);

    if (!ns)
        return NULL;
    if (map_add(&parent->server->namespaces, &ns->node, sio_namespace_name(ns)) < 0) {
        sio_namespace_free(ns);
        return NULL;
    }
    ns->parent = parent;
    list_append(&f->children, &ns->siblings);
    f->n_children++;
    return ns;
}

struct sio_namespace *sio_server_open(struct sio_server *server, struct sio_str name,
                                      struct sio_str auth, const char **refusal)
{
    struct sio_namespace *ns = sio_server_find(server, name);
    struct sio_family *f = ns ? NULL : find_family(server, name, auth);

    if (ns)
        return ns;
    *refusal = "Invalid namespace";
    if (!f)
        return NULL;
    *refusal = "Too many namespaces";
    if (f->n_children >= f->max_children)
        return NULL;
    *refusal = "Out of memory";
    return make_child(f, name);
}

void sio_family_leave(struct sio_namespace *ns)
{
    if (!ns->parent)
        return;
    list_remove(&ns->siblings);
    ns->parent->family->n_children--;
    ns->parent = NULL;
}

static bool is_unused(const struct sio_namespace *ns)
{
    return ns->parent && ns->n_users == 0 &&
           (ns->parent->family->remove_empty || !ns->was_joined);
}

/* Somebody may have come since. */
static void on_reap(struct net_task *task)
{
    struct sio_namespace *ns = container_of(task, struct sio_namespace, reap);

    if (!is_unused(ns))
        return;
    map_remove(&ns->server->namespaces, &ns->node);
    sio_namespace_free(ns);
}

void sio_namespace_unused(struct sio_namespace *ns)
{
    if (!is_unused(ns))
        return;
    ns->reap.run = on_reap;
    net_loop_reap(ns->server->loop, &ns->reap);
}

void sio_namespace_hold(struct sio_namespace *ns)
{
    ns->n_users++;
}

void sio_namespace_release(struct sio_namespace *ns)
{
    ns->n_users--;
    sio_namespace_unused(ns);
}
