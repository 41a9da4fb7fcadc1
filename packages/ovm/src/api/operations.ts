import type { Operation } from "./operation.ts"
import { attachConsole } from "./operations/attach.ts"
import { commit } from "./operations/commit.ts"
import { create } from "./operations/create.ts"
import { events } from "./operations/events.ts"
import { exec, execControl, execInput, execStream, ready } from "./operations/exec.ts"
import { explain } from "./operations/explain.ts"
import { getFiles, putFiles } from "./operations/files.ts"
import { fork } from "./operations/fork.ts"
import { health } from "./operations/health.ts"
import { info } from "./operations/info.ts"
import { input } from "./operations/input.ts"
import { list } from "./operations/list.ts"
import { logs } from "./operations/logs.ts"
import { metrics } from "./operations/metrics.ts"
import { createNetwork, networks, removeNetwork } from "./operations/networks.ts"
import { pause } from "./operations/pause.ts"
import { addPort, removePort } from "./operations/ports.ts"
import { remove } from "./operations/remove.ts"
import { rename } from "./operations/rename.ts"
import { restart } from "./operations/restart.ts"
import { resume } from "./operations/resume.ts"
import { sandbox, sandboxStream } from "./operations/sandbox.ts"
import { snapshot } from "./operations/snapshot.ts"
import { start } from "./operations/start.ts"
import { startAgain } from "./operations/start-again.ts"
import { status } from "./operations/status.ts"
import { stop } from "./operations/stop.ts"
import { createVolume, removeVolume, volumes } from "./operations/volumes.ts"
import { warm } from "./operations/warm.ts"

/** All operations of the API; a test holds the list against spec/api/openapi.yaml. */
export const OPERATIONS: readonly Operation[] = [
  start,
  stop,
  snapshot,
  warm,
  explain,
  sandbox,
  sandboxStream,
  status,
  logs,
  attachConsole,
  input,
  exec,
  execStream,
  execInput,
  execControl,
  getFiles,
  putFiles,
  ready,
  list,
  create,
  remove,
  pause,
  resume,
  startAgain,
  restart,
  rename,
  fork,
  addPort,
  removePort,
  commit,
  health,
  info,
  metrics,
  events,
  volumes,
  createVolume,
  removeVolume,
  networks,
  createNetwork,
  removeNetwork,
]
