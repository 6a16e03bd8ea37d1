/* What this program needs of Linux: calls, numbers and structures, on the two machines it knows. */

#ifndef SYSTEM_H
#define SYSTEM_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)

#define CALL(name, amd64, arm64) name = amd64,

struct status {
    uint64_t device, inode, links;
    uint32_t mode, user, group, pad;
    uint64_t special;
    int64_t size, block_size, blocks;
    int64_t atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns;
    int64_t unused[3];
};

static inline long call6(long n, long a, long b, long c, long d, long e, long f) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(__aarch64__)

#define CALL(name, amd64, arm64) name = arm64,

struct status {
    uint64_t device, inode;
    uint32_t mode, links, user, group;
    uint64_t special, pad;
    int64_t size;
    int32_t block_size, pad2;
    int64_t blocks;
    int64_t atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns;
    int32_t unused[2];
};

static inline long call6(long n, long a, long b, long c, long d, long e, long f) {
    register long x8 __asm__("x8") = n;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}

#else
#error "no such machine"
#endif

enum {
    CALL(SYS_READ, 0, 63)
    CALL(SYS_WRITE, 1, 64)
    CALL(SYS_CLOSE, 3, 57)
    CALL(SYS_FSTAT, 5, 80)
    CALL(SYS_LSEEK, 8, 62)
    CALL(SYS_MMAP, 9, 222)
    CALL(SYS_MUNMAP, 11, 215)
    CALL(SYS_SIGPROCMASK, 14, 135)
    CALL(SYS_CLONE, 56, 220)
    CALL(SYS_EXECVE, 59, 221)
    CALL(SYS_WAIT4, 61, 260)
    CALL(SYS_KILL, 62, 129)
    CALL(SYS_CHDIR, 80, 49)
    CALL(SYS_FCHDIR, 81, 50)
    CALL(SYS_UMASK, 95, 166)
    CALL(SYS_SIGTIMEDWAIT, 128, 137)
    CALL(SYS_CHROOT, 161, 51)
    CALL(SYS_LSETXATTR, 189, 6)
    CALL(SYS_LGETXATTR, 192, 9)
    CALL(SYS_LLISTXATTR, 195, 12)
    CALL(SYS_GETDENTS, 217, 61)
    CALL(SYS_EXIT_GROUP, 231, 94)
    CALL(SYS_OPENAT, 257, 56)
    CALL(SYS_MKDIRAT, 258, 34)
    CALL(SYS_MKNODAT, 259, 33)
    CALL(SYS_FCHOWNAT, 260, 54)
    CALL(SYS_FSTATAT, 262, 79)
    CALL(SYS_UNLINKAT, 263, 35)
    CALL(SYS_LINKAT, 265, 37)
    CALL(SYS_SYMLINKAT, 266, 36)
    CALL(SYS_READLINKAT, 267, 78)
    CALL(SYS_FCHMODAT, 268, 53)
    CALL(SYS_FACCESSAT, 269, 48)
    CALL(SYS_UTIMENSAT, 280, 88)
    CALL(SYS_PIPE2, 293, 59)
    CALL(SYS_COPY_FILE_RANGE, 326, 285)
};

#define CALL6(n, a, b, c, d, e, f) \
    call6((n), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define CALL5(n, a, b, c, d, e) CALL6(n, a, b, c, d, e, 0)
#define CALL4(n, a, b, c, d) CALL6(n, a, b, c, d, 0, 0)
#define CALL3(n, a, b, c) CALL6(n, a, b, c, 0, 0, 0)
#define CALL2(n, a, b) CALL6(n, a, b, 0, 0, 0, 0)
#define CALL1(n, a) CALL6(n, a, 0, 0, 0, 0, 0)

enum { HERE = -100 }; /* AT_FDCWD: the folder that the process is in */
enum { NO_FOLLOW = 0x100, REMOVE_FOLDER = 0x200 };
enum { READ_ONLY = 0, WRITE_ONLY = 1, CREATE = 0100, EXCLUSIVE = 0200, TRUNCATE = 01000,
       APPEND = 02000, CLOSE_ON_EXEC = 02000000 };
#if defined(__x86_64__)
enum { FOLDER_ONLY = 0200000, NO_LINK = 0400000 };
#else
enum { FOLDER_ONLY = 040000, NO_LINK = 0100000 };
#endif

enum { NO_SUCH_FILE = -2, INTERRUPTED = -4, TOO_LONG_A_LIST = -7, NOT_EXECUTABLE = -8,
       NO_CHILD = -10, AGAIN = -11, NOT_ALLOWED = -13, EXISTS = -17, NO_FOLDER = -20,
       A_FOLDER = -21, NAME_TOO_LONG = -36, TOO_MANY_LINKS = -40, RANGE = -34,
       NOT_SUPPORTED = -95 };

enum { KIND = 0170000, SOCKET = 0140000, LINK = 0120000, FILE = 0100000, BLOCK = 060000,
       FOLDER = 040000, CHARACTER = 020000, FIFO = 010000 };

struct moment {
    int64_t seconds, nanoseconds;
};
enum { LEAVE_TIME = (1 << 30) - 2 }; /* UTIME_OMIT, in place of nanoseconds */

static inline uint32_t kind(const struct status *s) { return s->mode & KIND; }

long status_of(const char *path, struct status *s);   /* of the thing itself, also of a link */
long status_there(const char *path, struct status *s); /* of what it leads to */

#endif
