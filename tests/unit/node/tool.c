/*
 * The one program in the root filesystem of tests: says and does what its arguments tell, in order.
 *
 *   say TEXT · complain TEXT (stderr) · sleep MS · wait (until a signal) · exit CODE · cat FILE · write FILE TEXT · touch FILE
 *   id · hostname · env NAME · echo (stdin to stdout until it ends) · trap MS (on SIGTERM sleep, then exit 0) · eat MIB
 *   serve PORT (HTTP: 200, or the code in /tmp/code) · exists FILE (exit 1 when not) · tty · size (of the terminal) · spin
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int trap_ms = -1;

static void nap(int ms)
{
    struct timespec t = { ms / 1000, (ms % 1000) * 1000000L };
    while (nanosleep(&t, &t) < 0)
        ;
}

static void on_term(int signal)
{
    (void)signal;
    if (trap_ms > 0)
        nap(trap_ms);
    printf("terminated\n");
    fflush(stdout);
    _exit(0);
}

static int status_code(void)
{
    char text[16] = { 0 };
    int fd = open("/tmp/code", O_RDONLY);
    if (fd < 0)
        return 200;
    if (read(fd, text, sizeof(text) - 1) < 0)
        text[0] = '\0';
    close(fd);
    return (int)strtol(text, NULL, 10);
}

static void serve(int port)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 64) < 0) {
        perror("serve");
        exit(3);
    }
    for (;;) {
        char head[4096], answer[256];
        int c = accept(fd, NULL, NULL);
        if (c < 0)
            continue;
        if (read(c, head, sizeof(head)) > 0) {
            int n = snprintf(answer, sizeof(answer),
                             "HTTP/1.1 %d Answer\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", status_code());
            if (write(c, answer, (size_t)n) < 0)
                perror("write");
        }
        close(c);
    }
}

static void copy(int from, int to)
{
    char bytes[4096];
    for (ssize_t n; (n = read(from, bytes, sizeof(bytes))) > 0;) {
        if (write(to, bytes, (size_t)n) < 0)
            return;
    }
}

static void print_id(void)
{
    gid_t groups[64];
    int n = getgroups(64, groups);
    printf("uid=%d gid=%d groups=", (int)getuid(), (int)getgid());
    for (int k = 0; k < n; k++)
        printf("%s%d", k ? "," : "", (int)groups[k]);
    printf("\n");
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        const char *next = i + 1 < argc ? argv[i + 1] : "";
#define IS(name) (strcmp(word, name) == 0)
        if (IS("say")) {
            printf("%s\n", next), i++;
        } else if (IS("complain")) {
            fprintf(stderr, "%s\n", next), i++;
        } else if (IS("sleep")) {
            nap(atoi(next)), i++;
        } else if (IS("wait")) {
            for (;;)
                pause();
        } else if (IS("spin")) {
            for (;;)
                ;
        } else if (IS("exit")) {
            return atoi(next);
        } else if (IS("trap")) {
            trap_ms = atoi(next), i++;
            signal(SIGTERM, on_term);
        } else if (IS("cat")) {
            int fd = open(next, O_RDONLY);
            if (fd < 0) {
                perror(next);
                return 1;
            }
            copy(fd, 1), close(fd), i++;
        } else if (IS("write") || IS("touch")) {
            int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC, 0644);
            if (fd < 0) {
                perror(next);
                return 1;
            }
            i++;
            if (IS("write") && i + 1 < argc) {
                i++;
                if (write(fd, argv[i], strlen(argv[i])) < 0)
                    return 1;
            }
            close(fd);
        } else if (IS("exists")) {
            if (access(next, F_OK) < 0)
                return 1;
            i++;
        } else if (IS("echo")) {
            copy(0, 1);
        } else if (IS("id")) {
            print_id();
        } else if (IS("hostname")) {
            char name[256] = { 0 };
            gethostname(name, sizeof(name) - 1);
            printf("%s\n", name);
        } else if (IS("env")) {
            const char *value = getenv(next);
            printf("%s=%s\n", next, value ? value : "(unset)"), i++;
        } else if (IS("eat")) {
            size_t n = (size_t)atoi(next) << 20;
            char *p = malloc(n);
            if (!p)
                return 4;
            memset(p, 1, n);
            printf("ate %c\n", p[n - 1] == 1 ? 'y' : 'n'), i++;
        } else if (IS("tty")) {
            printf("%s\n", isatty(0) ? ttyname(0) ? ttyname(0) : "unnamed" : "none");
        } else if (IS("size")) {
            struct winsize w = { 0 };
            ioctl(0, TIOCGWINSZ, &w);
            printf("%dx%d\n", w.ws_col, w.ws_row);
        } else if (IS("serve")) {
            serve(atoi(next));
        } else {
            fprintf(stderr, "unknown word: %s\n", word);
            return 2;
        }
    }
    return 0;
}
