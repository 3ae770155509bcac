/* Lets User Mode Linux run on processors whose register set is larger than its buffer (AMX: 11,008 octets).
 *
 * The kernel takes a register set back only in full size, UML saves the first octets of it: the guest's first
 * process then dies with "ptrace set fp regs failed, errno = 14". Preloaded, this puts UML's octets in front of as
 * many zero octets as the kernel wants; zero is the initial state of the registers in that tail, which no program
 * in the guest uses.
 *
 * cc -shared -fPIC -o wide_xstate.so wide_xstate.c; LD_PRELOAD=./wide_xstate.so linux.uml … */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

enum { X86_XSTATE = 0x202, GET_REGSET = 0x4204, SET_REGSET = 0x4205, WIDEST = 65536 };

static size_t full_size;

long ptrace(enum __ptrace_request request, ...)
{
    static long (*real)(int, pid_t, void *, void *);
    static char wide[WIDEST];
    va_list rest;
    va_start(rest, request);
    pid_t pid = va_arg(rest, pid_t);
    void *address = va_arg(rest, void *);
    void *data = va_arg(rest, void *);
    va_end(rest);
    if (!real)
        real = (long (*)(int, pid_t, void *, void *))dlsym(RTLD_NEXT, "ptrace");
    struct iovec *narrow = data, all = {wide, WIDEST};
    if ((int)request == GET_REGSET && (long)address == X86_XSTATE) {
        long result = real(request, pid, address, &all);
        if (result == 0) {
            full_size = all.iov_len;
            if (narrow->iov_len > all.iov_len)
                narrow->iov_len = all.iov_len;
            memcpy(narrow->iov_base, wide, narrow->iov_len);
        }
        return result;
    }
    if ((int)request == SET_REGSET && (long)address == X86_XSTATE && narrow->iov_len < full_size) {
        memset(wide, 0, full_size);
        memcpy(wide, narrow->iov_base, narrow->iov_len);
        all.iov_len = full_size;
        return real(request, pid, address, &all);
    }
    return real(request, pid, address, data);
}
