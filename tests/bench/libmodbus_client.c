/* Reads COUNT holding registers of unit 1 from each of DEVICES connections, round after round, for
 * SECONDS, at most one round a second; prints values, elapsed seconds and processor seconds.
 * cc -O2 libmodbus_client.c $(pkg-config --cflags --libs libmodbus) -o libmodbus_client */
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double seconds_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int count, char **words) {
    if (count != 5) {
        fprintf(stderr, "usage: libmodbus_client PORT DEVICES COUNT SECONDS\n");
        return 2;
    }
    int port = atoi(words[1]), devices = atoi(words[2]), registers = atoi(words[3]);
    double length = atof(words[4]);
    modbus_t **lines = calloc((size_t)devices, sizeof *lines);
    uint16_t values[MODBUS_MAX_READ_REGISTERS];
    if (lines == NULL || registers < 1 || registers > MODBUS_MAX_READ_REGISTERS) return 2;
    for (int at = 0; at < devices; at++) {
        lines[at] = modbus_new_tcp("127.0.0.1", port);
        if (lines[at] == NULL || modbus_connect(lines[at]) == -1) {
            fprintf(stderr, "device %d: %s\n", at, modbus_strerror(errno));
            return 1;
        }
        modbus_set_slave(lines[at], 1);
    }
    double began = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    long got = 0, rounds = 0;
    while (seconds_of(CLOCK_MONOTONIC) - began < length) {
        for (int at = 0; at < devices; at++) {
            int read = modbus_read_registers(lines[at], 0, registers, values);
            if (read > 0) got += read;
        }
        rounds++;
        double early = began + (double)rounds - seconds_of(CLOCK_MONOTONIC);
        if (early > 0) usleep((useconds_t)(early * 1e6));
    }
    printf("%ld %f %f\n", got, seconds_of(CLOCK_MONOTONIC) - began,
           seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    return 0;
}
