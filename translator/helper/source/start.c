/* The way into the program: the kernel leaves arguments and environment on the stack. */

#include "helper.h"

int main(int count, char **arguments, char **environment);

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call begin\n");
#else
__asm__(".globl _start\n_start:\n mov x29,#0\n mov x30,#0\n mov x0,sp\n bl begin\n");
#endif

_Noreturn void begin(long *stack) {
    int count = (int)stack[0];
    char **arguments = (char **)(stack + 1);
    int code = main(count, arguments, arguments + count + 1);
    for (;;) CALL1(SYS_EXIT_GROUP, code);
}
