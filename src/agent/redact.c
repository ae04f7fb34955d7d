#include <config.h>

#include "agent/redact.h"

#include <string.h>

void agent_redact(char *text)
{
    char *at = text;

    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    while ((at = strstr(at, "://"))) {
        size_t url, user = 0, shown;

        at += 3;
        /* A password that should have been encoded may hold anything but a blank. */
        url = strcspn(at, " \"'");
        for (size_t i = 0; i < url; i++)
            if (at[i] == '@')
                user = i + 1;
        memmove(at, at + user, strlen(at + user) + 1);
        url -= user;
        shown = strcspn(at, "?=") + 1;
        if (shown < url)
            memmove(at + shown, at + url, strlen(at + url) + 1);
    }
}
