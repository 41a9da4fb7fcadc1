import { access, constants, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import type { Subject } from "../arguments.ts"
import { guestArtifact } from "../artifact/guest.ts"
import { writeLayout } from "../artifact/layout.ts"
import { Failure } from "../check.ts"
import { Adapter } from "./adapter.ts"
import { Agent } from "./agent.ts"
import { Harness } from "./harness.ts"
import { Remote } from "./remote.ts"
import { Runtime } from "./runtime.ts"
import { Wrapper } from "./wrapper.ts"

export interface Uses<T> {
  wrapper(wrapper: Wrapper): Promise<T>
  runtime(runtime: Runtime): Promise<T>
  adapter(adapter: Adapter): Promise<T>
  agent(agent: Agent): Promise<T>
  registry(remote: Remote): Promise<T>
}

/** Nothing can be tested: a sentence that says why. */
export class Unusable extends Error {}

/** Has `uses` work with what is tested, and cleans up behind it. Throws Unusable if it cannot be started. */
export async function withSubject<T>(subject: Subject, signal: AbortSignal, uses: Uses<T>): Promise<T> {
  if (subject.kind === "wrapper")
    return await uses.wrapper(wrapperOf(await executable(subject.program), subject.linux))
  if (subject.kind === "adapter") return await uses.adapter(new Adapter(await executable(subject.program)))
  if (subject.kind === "agent") return await uses.agent(new Agent(await executable(subject.program)))
  if (subject.kind === "registry")
    return await uses.registry(new Remote(subject.origin, "ovms-suite", signal))
  const folder = await mkdtemp(join(tmpdir(), "ovms-guest-"))
  const harness = "start" in subject ? await Harness.create(subject.start) : undefined
  try {
    await harness?.start(signal)
    const guest = await writeLayout(join(folder, "guest"), guestArtifact())
    const socket = "socket" in subject ? resolve(subject.socket) : (harness?.socket ?? "")
    const machines = {
      guest,
      ...("linux" in subject && { linux: resolve(subject.linux ?? "") }),
      ...("wrapper" in subject && { wrapper: new Wrapper(await executable(subject.wrapper ?? "")) }),
    }
    return await uses.runtime(new Runtime(socket, machines, harness, signal))
  } catch (thrown) {
    throw thrown instanceof Failure ? new Unusable(thrown.message) : thrown
  } finally {
    await harness?.close()
    await rm(folder, { recursive: true, force: true })
  }
}

function wrapperOf(program: string, linux: string | undefined): Wrapper {
  return new Wrapper(program, linux === undefined ? undefined : resolve(linux))
}

async function executable(program: string): Promise<string> {
  const path = resolve(program)
  await access(path, constants.X_OK).catch(() => {
    throw new Unusable(`${path} is not an executable file`)
  })
  return path
}
