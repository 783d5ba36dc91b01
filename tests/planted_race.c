/*
 * planted_race.c - two threads write one number without asking: tests/under_threads must find it
 */
#include <pthread.h>
#include <stddef.h>

static int number;

static void *write_it(void *unused)
{
    (void)unused;
    number++;
    return NULL;
}

int main(void)
{
    pthread_t other;
    if (pthread_create(&other, NULL, write_it, NULL) != 0) {
        return 1;
    }
    write_it(NULL);
    pthread_join(other, NULL);
    return number == 0;
}
