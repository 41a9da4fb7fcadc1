import { MemoryStore } from "./memory.ts"
import { storeSuite } from "./store.suite.ts"

storeSuite("memory", async () => ({
  store: new MemoryStore(),
  reference: (tag) => `name:${tag}`,
  [Symbol.asyncDispose]: async () => {},
}))
