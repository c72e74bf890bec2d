// The threads that help with bands: a pool that sleeps on a condition.
#include "bands.h"

#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#define RQ_THREADS 1
#else
#define RQ_THREADS 0
#endif

namespace {

// Bands for each thread, so that none waits long for another.
constexpr int64_t kPerThread = 4;

std::atomic<int32_t> allowed{1};   // Threads, callers included.
std::atomic<int32_t> occupied{0};  // Threads that said that they are at work.

#if RQ_THREADS

struct Job {
  void (*run)(void*, int64_t, int64_t);
  void* work;
  int64_t rows, align, bands;
  std::atomic<int64_t> next;
  int32_t invited;  // Helpers that may still join; this and what follows belongs to the lock.
  int32_t busy;
  Job* following;

  int64_t edge(int64_t band) const {
    return band == bands ? rows : rows * band / bands / align * align;
  }

  void help() {
    for (int64_t band; (band = next.fetch_add(1, std::memory_order_relaxed)) < bands;)
      if (edge(band) < edge(band + 1)) run(work, edge(band), edge(band + 1));
  }
};

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t called = PTHREAD_COND_INITIALIZER;    // A job invites.
pthread_cond_t finished = PTHREAD_COND_INITIALIZER;  // A job has no helper any more.
Job* jobs = nullptr;
int32_t helpers = 0;
bool prepared = false;

Job* inviting() {
  Job* job = jobs;
  while (job && !job->invited) job = job->following;
  return job;
}

void* serve(void*) {
  pthread_mutex_lock(&lock);
  for (;;) {
    Job* job = inviting();
    if (!job) {
      pthread_cond_wait(&called, &lock);
      continue;
    }
    --job->invited;
    ++job->busy;
    pthread_mutex_unlock(&lock);
    job->help();
    pthread_mutex_lock(&lock);
    if (!--job->busy) pthread_cond_broadcast(&finished);
  }
}

// A child process has none of its parent's threads, and a lock that no one may have left.
void after_fork() {
  pthread_mutex_init(&lock, nullptr);
  pthread_cond_init(&called, nullptr);
  pthread_cond_init(&finished, nullptr);
  jobs = nullptr;
  helpers = 0;
  occupied = 0;
}

// With the lock held: as many helpers as may be needed, or as the system gives.
void start_helpers(int32_t wanted) {
  if (!prepared) {
    pthread_atfork(nullptr, nullptr, after_fork);
    prepared = true;
  }
  while (helpers < wanted) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // Signals are for the program's own threads.
    pthread_t thread;
    const bool failed = pthread_create(&thread, nullptr, serve, nullptr) != 0;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (failed) return;
    pthread_detach(thread);
    ++helpers;
  }
}

#endif

}  // namespace

namespace rq {

void run_bands(int64_t rows, int64_t least, int64_t align, void (*run)(void*, int64_t, int64_t),
               void* work) {
  if (rows <= 0) return;
#if RQ_THREADS
  const int32_t threads = allowed.load(std::memory_order_relaxed);
  const int32_t callers = occupied.load(std::memory_order_relaxed);
  const int64_t most = rows / (least > 0 ? least : 1);
  const int64_t bands = most < kPerThread * threads ? most : kPerThread * threads;
  const int32_t idle = threads - (callers > 1 ? callers : 1);
  if (bands > 1 && idle > 0) {
    Job job{run, work, rows, align, bands, {0}, idle, 0, nullptr};
    if (job.invited > bands - 1) job.invited = static_cast<int32_t>(bands - 1);
    pthread_mutex_lock(&lock);
    start_helpers(threads - 1);
    job.following = jobs;
    jobs = &job;
    for (int32_t n = 0; n < job.invited; ++n) pthread_cond_signal(&called);
    pthread_mutex_unlock(&lock);
    job.help();
    pthread_mutex_lock(&lock);
    Job** at = &jobs;
    while (*at != &job) at = &(*at)->following;
    *at = job.following;
    while (job.busy) pthread_cond_wait(&finished, &lock);
    pthread_mutex_unlock(&lock);
    return;
  }
#endif
  run(work, 0, rows);
}

}  // namespace rq

// Most threads that work on a call, the caller included; at least 1.
RQ_EXPORT void rq_set_threads(int32_t number) { allowed = number > 1 ? number : 1; }

RQ_EXPORT int32_t rq_threads() { return allowed; }

// Change of the number of threads that are at work on something of their own: +1, -1.
RQ_EXPORT void rq_occupy(int32_t change) { occupied += change; }
