// Jobs of BullMQ: many at once, delayed, tried again, parents with children, and their events.
import assert from "node:assert";
import { FlowProducer, Queue, QueueEvents, Worker } from "bullmq";

const connection = { host: "127.0.0.1", port: Number(process.env.PORT), maxRetriesPerRequest: null };
const queue = new Queue("work", { connection });
const events = new QueueEvents("work", { connection });
await events.waitUntilReady();
const tries = new Map();
const worker = new Worker(
  "work",
  async (job) => {
    if (job.name === "square") return job.data.n * job.data.n;
    if (job.name === "late") return Date.now() - job.data.at;
    if (job.name === "sum") {
      const parts = Object.values(await job.getChildrenValues());
      return parts.reduce((a, b) => a + b, 0);
    }
    tries.set(job.id, (tries.get(job.id) ?? 0) + 1);
    if (tries.get(job.id) < 3) throw new Error("on purpose");
    return "third";
  },
  { connection, concurrency: 8 },
);
worker.on("error", (error) => { throw error; });

const numbers = Array.from({ length: 200 }, (_, n) => n);
const jobs = await queue.addBulk(numbers.map((n) => ({ name: "square", data: { n } })));
const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 30000)));
assert.deepStrictEqual(results, numbers.map((n) => n * n));

const late = await queue.add("late", { at: Date.now() }, { delay: 500 });
assert((await late.waitUntilFinished(events, 30000)) >= 500);

const again = await queue.add("again", {}, { attempts: 3, backoff: 50 });
assert.strictEqual(await again.waitUntilFinished(events, 30000), "third");

const flow = new FlowProducer({ connection });
const children = [3, 4, 5].map((n) => ({ name: "square", queueName: "work", data: { n } }));
const tree = await flow.add({ name: "sum", queueName: "work", children });
assert.strictEqual(await tree.job.waitUntilFinished(events, 30000), 50);

const counts = await queue.getJobCounts("completed", "failed", "waiting", "delayed", "active");
const { completed, ...others } = counts;
assert.strictEqual(completed, 206);
assert(Object.values(others).every((count) => count === 0), JSON.stringify(counts));
await queue.obliterate();
assert.strictEqual(await queue.count(), 0);
for (const part of [worker, events, flow, queue]) await part.close();
console.log("fine");
