#include <config.h>

#include "base/envfile.h"

#include <stdbool.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

struct envfile {
    const char *file;
    unsigned line;
    struct sio_diag *diag;
};

static int fail(const struct envfile *f, const char *what)
{
    return sio_diag_set(f->diag, SIO_ERR_PARSE, "%s:%u: %s", f->file, f->line, what);
}

static bool is_name_char(char c, bool first)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (!first && c >= '0' && c <= '9');
}

static bool is_name(struct sio_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_name_char(s.ptr[i], i == 0))
            return false;
    return s.len > 0;
}

static struct sio_str strip_export(struct sio_str s)
{
    struct sio_str word = SIO_STR("export");

    if (!str_starts(s, word) || s.len == word.len ||
        (s.ptr[word.len] != ' ' && s.ptr[word.len] != '\t'))
        return s;
    return str_trim((struct sio_str){s.ptr + word.len, s.len - word.len});
}

static char unescape(char c)
{
    switch (c) {
    case 'n': return '\n';
    case 't': return '\t';
    default: return c;
    }
}

/* s begins with the quote; what follows the closing one may only be a comment. */
static int read_quoted(const struct envfile *f, struct sio_str s, char *out)
{
    char quote = s.ptr[0];
    size_t n = 0;
    size_t i;

    for (i = 1; i < s.len && s.ptr[i] != quote; i++) {
        char c = s.ptr[i];

        if (c == '\\' && quote == '"' && i + 1 < s.len)
            c = unescape(s.ptr[++i]);
        out[n++] = c;
    }
    if (i >= s.len)
        return fail(f, "the quote is not closed");
    s = str_trim((struct sio_str){s.ptr + i + 1, s.len - i - 1});
    if (s.len > 0 && s.ptr[0] != '#')
        return fail(f, "something follows the closing quote");
    out[n] = '\0';
    return SIO_OK;
}

static int read_bare(struct sio_str s, char *out)
{
    for (size_t i = 1; i < s.len; i++)
        if (s.ptr[i] == '#' && (s.ptr[i - 1] == ' ' || s.ptr[i - 1] == '\t'))
            s.len = i;
    if (s.len > 0 && s.ptr[0] == '#')
        s.len = 0;
    s = str_trim(s);
    memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
    return SIO_OK;
}

/* scratch has room for the line and two NULs. */
static int parse_line(const struct envfile *f, struct sio_str line, char *scratch,
                      envfile_cb cb, void *user)
{
    struct sio_str name;
    struct sio_str rest;
    char *value;
    int rv;

    line = str_trim(line);
    if (line.len == 0 || line.ptr[0] == '#')
        return SIO_OK;
    if (memchr(line.ptr, '\0', line.len))
        return fail(f, "a NUL character");
    rest = strip_export(line);
    name = str_trim(str_cut(&rest, '='));
    if (!rest.ptr)
        return fail(f, "no '='");
    if (!is_name(name))
        return fail(f, "what stands before '=' is not a name");
    memcpy(scratch, name.ptr, name.len);
    scratch[name.len] = '\0';
    value = scratch + name.len + 1;
    rest = str_trim(rest);
    if (rest.len > 0 && (rest.ptr[0] == '"' || rest.ptr[0] == '\''))
        rv = read_quoted(f, rest, value);
    else
        rv = read_bare(rest, value);
    return rv < 0 ? rv : cb(scratch, value, f->line, user);
}

int envfile_parse(const char *file, const char *text, size_t len, envfile_cb cb,
                  void *user, struct sio_diag *diag)
{
    struct envfile f = {.file = file, .diag = diag};
    struct sio_str rest = {text, len};
    char *scratch;
    int rv = SIO_OK;

    if (len > ENVFILE_MAX_BYTES)
        return sio_diag_set(diag, SIO_ERR_TOO_BIG, "%s: larger than %d bytes", file,
                            ENVFILE_MAX_BYTES);
    if (str_starts(rest, SIO_STR("\xef\xbb\xbf")))
        rest = (struct sio_str){text + 3, len - 3};
    scratch = mem_alloc(len + 2);
    if (!scratch)
        return sio_diag_set(diag, SIO_ERR_NOMEM, "%s: out of memory", file);
    while (rest.ptr && rv >= 0) {
        struct sio_str line = str_cut(&rest, '\n');

        f.line++;
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        rv = parse_line(&f, line, scratch, cb, user);
    }
    explicit_bzero(scratch, len + 2);
    mem_free(scratch);
    return rv < 0 ? rv : SIO_OK;
}

int envfile_read(const char *file, envfile_cb cb, void *user, struct sio_diag *diag)
{
    char *text;
    size_t len;
    int rv = file_read(file, ENVFILE_MAX_BYTES, &text, &len, diag);

    if (rv < 0)
        return rv;
    rv = envfile_parse(file, text, len, cb, user, diag);
    explicit_bzero(text, len); /* it may hold passwords */
    mem_free(text);
    return rv;
}
