// Counts events by tag and prints the counts when it is closed: the sink `tally`, in C.
//
// Ownership, as the generated code has it: a function owns its arguments and frees them; what it returns is freed by the caller, so
// every string and list in it has to be on the heap.

#include "gen/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  char *tag;
  uint64_t events;
} count_t;

static count_t *counts;
static size_t count_len;

// The generated code refers to an object file with the component's type. Here the linker is given the WIT itself instead.
void __component_type_object_force_link_tally(void) {}

// Adds to a tag's count. Counts are kept in the order of their tags.
static void count(const uint8_t *tag, size_t len, uint64_t events) {
  size_t at = 0;
  for (; at < count_len; at++) {
    size_t known = strlen(counts[at].tag);
    int order = memcmp(counts[at].tag, tag, known < len ? known : len);
    if (order == 0) order = (known > len) - (known < len);
    if (order == 0) {
      counts[at].events += events;
      return;
    }
    if (order > 0) break;
  }
  counts = realloc(counts, (count_len + 1) * sizeof(count_t));
  memmove(&counts[at + 1], &counts[at], (count_len - at) * sizeof(count_t));
  counts[at].tag = strndup((const char *)tag, len);
  counts[at].events = events;
  count_len++;
}

static void forget(void) {
  for (size_t at = 0; at < count_len; at++) free(counts[at].tag);
  free(counts);
  counts = NULL;
  count_len = 0;
}

bool exports_hydrant_events_event_sink_put_event(exports_hydrant_events_event_sink_state_event_t *event,
                                                 exports_hydrant_events_event_sink_ack_t *ack,
                                                 exports_hydrant_events_event_sink_sink_error_t *error) {
  (void)error;
  count(event->tag.ptr, event->tag.len, 1);
  *ack = HYDRANT_EVENTS_TYPES_ACK_ACCEPTED;
  exports_hydrant_events_event_sink_state_event_free(event);
  return true;
}

bool exports_hydrant_events_batch_put_events(exports_hydrant_events_batch_event_batch_t *batch,
                                             exports_hydrant_events_batch_progress_t *progress,
                                             exports_hydrant_events_batch_batch_error_t *error) {
  (void)error;
  for (size_t at = 0; at < batch->tag.len; at++) {
    tally_string_t tag = batch->tags.ptr[batch->tag.ptr[at]];
    count(tag.ptr, tag.len, 1);
  }
  progress->taken = (uint32_t)batch->ids.len;
  progress->durable = 0;
  exports_hydrant_events_batch_event_batch_free(batch);
  return true;
}

bool exports_hydrant_events_flush_flush(exports_hydrant_events_flush_sink_error_t *error) {
  (void)error;
  return true;
}

// Version of the state that is handed over: a line for each tag, with its count. The same as the Rust sink's.
static const uint32_t STATE_VERSION = 1;

bool exports_hydrant_events_handover_save(exports_hydrant_events_handover_saved_t *saved, tally_string_t *error) {
  (void)error;
  char *text = NULL;
  size_t len = 0;
  FILE *stream = open_memstream(&text, &len);
  for (size_t at = 0; at < count_len; at++) {
    fprintf(stream, "%s %" PRIu64 "\n", counts[at].tag, counts[at].events);
  }
  fclose(stream);
  saved->version = STATE_VERSION;
  saved->bytes.ptr = (uint8_t *)text;
  saved->bytes.len = len;
  return true;
}

bool exports_hydrant_events_handover_restore(exports_hydrant_events_handover_saved_t *saved,
                                             exports_hydrant_events_handover_restore_error_t *error) {
  bool good = true;
  forget();
  if (saved->version != STATE_VERSION) {
    error->tag = EXPORTS_HYDRANT_EVENTS_HANDOVER_RESTORE_ERROR_UNKNOWN_VERSION;
    error->val.unknown_version = STATE_VERSION;
    good = false;
  } else {
    char *text = strndup((const char *)saved->bytes.ptr, saved->bytes.len);
    char *rest = text;
    for (char *line; good && (line = strsep(&rest, "\n")) && *line;) {
      char *space = strchr(line, ' ');
      char *end = NULL;
      uint64_t events = space ? strtoull(space + 1, &end, 10) : 0;
      good = space && end != space + 1 && *end == '\0';
      if (good) count((const uint8_t *)line, (size_t)(space - line), events);
    }
    free(text);
    if (!good) {
      error->tag = EXPORTS_HYDRANT_EVENTS_HANDOVER_RESTORE_ERROR_INVALID;
      tally_string_dup(&error->val.invalid, "a line is not a tag and a count");
    }
  }
  exports_hydrant_events_handover_saved_free(saved);
  return good;
}

void exports_hydrant_events_lifecycle_describe(exports_hydrant_events_lifecycle_manifest_t *manifest) {
  memset(manifest, 0, sizeof *manifest);
  tally_string_dup(&manifest->name, "tally-c");
  tally_string_dup(&manifest->version, "0.1.0");
  manifest->accepts.ptr = malloc(sizeof *manifest->accepts.ptr);
  manifest->accepts.len = 1;
  tally_string_dup(&manifest->accepts.ptr[0].name, "hydra.state-event");
  manifest->accepts.ptr[0].version = 1;
}

// The counts are in memory only, so they have to begin at the beginning.
bool exports_hydrant_events_lifecycle_open(exports_hydrant_events_lifecycle_open_info_t *info,
                                           exports_hydrant_events_lifecycle_opened_t *opened,
                                           exports_hydrant_events_lifecycle_sink_error_t *error) {
  (void)error;
  opened->tag = EXPORTS_HYDRANT_EVENTS_LIFECYCLE_OPENED_BEGINNING;
  exports_hydrant_events_lifecycle_open_info_free(info);
  return true;
}

void exports_hydrant_events_lifecycle_close(exports_hydrant_events_lifecycle_close_reason_t reason) {
  (void)reason;
  for (size_t at = 0; at < count_len; at++) printf("%s %" PRIu64 "\n", counts[at].tag, counts[at].events);
  fflush(stdout);
}
