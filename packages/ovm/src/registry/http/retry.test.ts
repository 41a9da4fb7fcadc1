import { expect, test } from "bun:test"
import { failure } from "../../content/store.testing.ts"
import { OvmError } from "../../errors.ts"
import { HTTP_LIMITS } from "./limits.ts"
import { parseRetryAfter, retry, Transient } from "./retry.ts"

const limits = { ...HTTP_LIMITS, attempts: 3, backoffMs: 1, longestPauseMs: 50 }
const passing = new OvmError("OVM_REGISTRY_FAILED", "busy")

test("tries again while the failure may pass, and no further", async () => {
  let calls = 0
  const work = async () => {
    if (++calls < 3) throw new Transient(passing)
    return calls
  }
  expect(await retry(limits, {}, work)).toBe(3)
  calls = -10
  expect(await failure(retry(limits, {}, work), "OVM_REGISTRY_FAILED")).toBe(passing)
  expect(calls).toBe(-7)
})

test("does not try again what will not pass, nor what would have to wait for too long", async () => {
  let calls = 0
  const work = (error: Error) => async () => {
    calls++
    throw error
  }
  await failure(retry(limits, {}, work(passing)), "OVM_REGISTRY_FAILED")
  await failure(retry(limits, {}, work(new Transient(passing, 1000))), "OVM_REGISTRY_FAILED")
  await failure(retry(limits, {}, work(new Error("a bug"))), "OVM_INTERNAL")
  expect(calls).toBe(3)
})

test("can be cancelled in a pause", async () => {
  const stop = new AbortController()
  const work = async () => {
    stop.abort()
    throw new Transient(passing, 40)
  }
  await failure(retry(limits, { signal: stop.signal }, work), "OVM_INTERRUPTED")
})

test.each([
  [null, undefined],
  ["3", 3000],
  ["Wed, 21 Oct 2015 07:28:00 GMT", 5000],
  ["Wed, 21 Oct 2010 07:28:00 GMT", 0],
  ["soon", undefined],
])("Retry-After: %s", (value, expected) => {
  const now = Date.parse("Wed, 21 Oct 2015 07:27:55 GMT")
  const parsed = parseRetryAfter(value, now)
  expect(parsed as unknown).toBe(expected)
})
