/*
 * Time: milliseconds and microseconds as int64_t, and the API's text forms.
 *
 * Code that decides never asks for the time: it gets `now` as an argument (see env.h). Wall time is milliseconds since
 * 1970 UTC. Sources: RFC 3339; meta/v1 Time (seconds, "2026-11-21T10:00:00Z"), MicroTime (six digits).
 */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include "base/str.h"

#define SECOND_MS ((int64_t)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)

#define TIME_TEXT_SIZE 40

int64_t time_wall_ms(void); /* real clocks, only for env_system(), log and main */
int64_t time_monotonic_ms(void);
int64_t time_monotonic_us(void);

char *time_format(int64_t wall_ms, char text[TIME_TEXT_SIZE]);       /* 2026-11-21T10:00:00Z; returns text */
char *time_format_micro(int64_t wall_us, char text[TIME_TEXT_SIZE]); /* 2026-11-21T10:00:00.123456Z */
char *time_format_nano(int64_t wall_ns, char text[TIME_TEXT_SIZE]);  /* CRI log: ...00.123456789Z */
bool time_parse(struct str text, int64_t *ret_wall_ms);              /* RFC 3339 with any zone and fraction */
/* kubectl's age: 5s, 2m30s, 3h, 4d. Source: k8s.io/apimachinery/pkg/util/duration, HumanDuration. */
char *time_format_age(int64_t ms, char text[TIME_TEXT_SIZE]);
bool time_parse_duration(struct str text, int64_t *ret_ms); /* Go's form: 1h30m, 250ms, 0 */

#endif
