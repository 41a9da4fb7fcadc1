import {
  type Answer,
  type Fault,
  inAnswer,
  inError,
  inMade,
  inStart,
  type Json,
  json,
  STATUS,
} from "./fault.ts"

// What a machine is given otherwise than it was asked for, and what a snapshot is held against.

const inErrors = (edit: (error: Json) => void) =>
  inError((answer: Answer) => {
    answer.body = json(answer.body, ({ errors }) => errors.forEach(edit))
  })

/** By the names of the table. */
export const GIVEN: Readonly<Record<string, Fault>> = {
  "tells one key alone": inStart(({ overrides }) => {
    if (overrides?.config?.sshKeys) overrides.config.sshKeys.length = 1
  }),
  "ends what it tells with a line": inStart(({ overrides }) => {
    if (overrides?.config?.userData) overrides.config.userData += "\n"
  }),
  "knows one user alone": inStart(({ overrides }) => {
    if (overrides?.ssh) overrides.ssh = { user: "suite" }
  }),
  "opens a port that is named once more": inAnswer(STATUS, ({ network }) => {
    const [port] = network?.ports ?? []
    if (port?.guest === 22) network.ports.push({ ...port, host: port.host + 1 })
  }),
  "takes keys beside meta-data": inMade(({ overrides }) => {
    if (overrides?.config?.metaData) delete overrides.ssh
  }),
  "has two folders at one place": inMade(({ overrides }) => {
    const [, second] = overrides?.shares ?? []
    if (second) second.target = "/other"
  }),
  "calls a disk that shrinks something else": inErrors((error) => {
    error.code = error.code.replace("OVM_DISK_INVALID", "OVM_ARTIFACT_INVALID")
  }),
  "says not what its host has": inErrors(({ detail }) => {
    if (Array.isArray(detail)) for (const one of detail) delete one.host
  }),
  "calls all that a clone cannot have ports": inErrors((error) => {
    if (error.code === "OVM_UNSUPPORTED")
      error.detail = [{ pointer: "network/ports", reason: "it is resumed" }]
  }),
  "gives a clone another disk": {
    answer: (answer, { url }) => {
      if (url.startsWith("/logs/") && !answer.body.includes("GUEST-READY"))
        answer.body += "DISK-LOST 7 is 0\r\n"
    },
  },
  "boots what does not fit": inStart((body) => {
    body.overrides = { ...body.overrides, coldBootOnMismatch: true }
  }),
  "lets a manifest decide": inStart(({ overrides }) => {
    if (overrides?.coldBootOnMismatch === false) delete overrides.coldBootOnMismatch
  }),
  "goes on with other processors": inStart(({ overrides }) => {
    if (overrides?.vcpus === 2) delete overrides.vcpus
  }),
  "asks no manifest whether it goes on": inStart((body) => {
    body.overrides = { resume: false, ...body.overrides }
  }),
}
