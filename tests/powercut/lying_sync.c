/* Makes chosen syncs lie: they return at once with success, as if the call had been removed from the code.
 *
 * LYING_SYNC holds patterns "CALL:PATH" (fnmatch), separated by spaces; CALL is fsync, fdatasync, syncfs or sync_file_range, PATH what the
 * descriptor stands for, for example "fsync:*\/Maildir/new fdatasync:*\/Maildir/tmp/*".
 *
 * cc -shared -fPIC -o lying_sync.so lying_sync.c; LD_PRELOAD=./lying_sync.so LYING_SYNC=… PROGRAM */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int lies(const char *call, int fd)
{
    const char *patterns = getenv("LYING_SYNC");
    char link[64], subject[PATH_MAX + 16], copy[4096], *rest, *one;
    int begin = snprintf(subject, sizeof subject, "%s:", call);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, subject + begin, sizeof subject - begin - 1);
    if (!patterns || length < 0)
        return 0;
    subject[begin + length] = 0;
    snprintf(copy, sizeof copy, "%s", patterns);
    for (one = strtok_r(copy, " ", &rest); one; one = strtok_r(NULL, " ", &rest))
        if (fnmatch(one, subject, 0) == 0)
            return 1;
    return 0;
}

#define WRAP(NAME)                                                       \
    int NAME(int fd)                                                     \
    {                                                                    \
        static int (*real)(int);                                         \
        if (!real)                                                       \
            real = (int (*)(int))dlsym(RTLD_NEXT, #NAME);                \
        return lies(#NAME, fd) ? 0 : real(fd);                           \
    }

WRAP(fsync)
WRAP(fdatasync)
WRAP(syncfs)

int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags)
{
    static int (*real)(int, off64_t, off64_t, unsigned);
    if (!real)
        real = (int (*)(int, off64_t, off64_t, unsigned))dlsym(RTLD_NEXT, "sync_file_range");
    return lies("sync_file_range", fd) ? 0 : real(fd, offset, length, flags);
}
