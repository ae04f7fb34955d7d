#include <config.h>

#include "base/camera_list.h"

#include "base/str.h"

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool camera_id_check(struct sio_str id)
{
    bool named = false;

    if (id.len == 0 || id.len > CAMERA_ID_MAX)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];

        if (is_alnum(c))
            named = true;
        else if (c != '.' && c != ':' && c != '_' && c != '-')
            return false;
    }
    return named;
}

static int parse_entry(struct sio_str item, struct camera_entry *out,
                       struct sio_diag *diag)
{
    struct sio_str test = SIO_STR("test://");
    struct sio_str rest = item;

    if (str_starts(item, test)) {
        out->url = (struct sio_str){item.ptr, test.len};
        out->id = (struct sio_str){item.ptr + test.len, item.len - test.len};
        if (out->id.len == 0)
            out->id = SIO_STR("test");
    } else {
        out->id = str_trim(str_cut(&rest, '='));
        out->url = rest.ptr ? str_trim(rest) : (struct sio_str){item.ptr, 0};
        if (rest.ptr && out->url.len == 0)
            return sio_diag_set(diag, SIO_ERR_PARSE, "no address behind the '='");
    }
    if (camera_id_check(out->id))
        return 1;
    if (out->id.len > CAMERA_ID_MAX)
        return sio_diag_set(diag, SIO_ERR_PARSE, "a name of more than %d characters",
                            CAMERA_ID_MAX);
    /* What is not a name may be a URL with a password: not shown. */
    return sio_diag_set(diag, SIO_ERR_PARSE,
                        "neither an address nor NAME=URL (a name has letters, "
                        "digits and \".:_-\" only)");
}

int camera_list_next(struct sio_str *rest, struct camera_entry *out,
                     struct sio_diag *diag)
{
    while (rest->ptr) {
        struct sio_str item = str_trim(str_cut(rest, ','));

        if (item.len > 0)
            return parse_entry(item, out, diag);
    }
    return 0;
}
