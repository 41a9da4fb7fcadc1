import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { OvmError } from "../errors.ts"
import { BOUNDED, type Bounds, WEIGHT_FILES, wantsOf } from "./cgroup-bounds.ts"
import { type Controller, type Hierarchy, hierarchiesIn } from "./cgroup-places.ts"

/** A daemon that systemd has delegated a group to is in this one of it (cli/service/unit.ts). */
export const DAEMONS_GROUP = "daemon"
/** Where there is nothing of the kind, root has a group for all machines beside the system's own. */
const OVM = "ovm"

/** Where groups of processes can be made, and what can be bounded there. */
export interface GroupPlace {
  readonly version: 1 | 2
  readonly folder: string
  readonly controllers: readonly Controller[]
}

/**
 * Where this process may make groups for `bounds` (cgroups(7)); none where nothing is bounded. In version 1 in its own
 * group of each controller; in version 2, where a group has either members or groups in it, in the one that was
 * delegated to it, or, as root, in one for all machines. Throws OVM_UNSUPPORTED with what is needed.
 */
export function groupPlaces(bounds: Bounds): readonly GroupPlace[] {
  const wanted = wantsOf(bounds)
  const places = new Map<string, GroupPlace>()
  const add = (controller: Controller, { version, folder }: Place) => {
    const { controllers } = places.get(folder) ?? { controllers: [] }
    places.set(folder, { version, folder, controllers: [...controllers, controller] })
  }
  for (const { controller, field } of wanted) add(controller, placeOf(controller, field))
  return [...places.values()]
}

type Place = Omit<GroupPlace, "controllers">

function placeOf(controller: Controller, field: string): Place {
  const faults: string[] = []
  for (const hierarchy of hierarchies(controller))
    try {
      const place = hierarchy.version === 1 ? ownGroup(hierarchy) : groupOfOthers(hierarchy, controller)
      if (controller === "io") assertWeighed(place)
      return place
    } catch (error) {
      faults.push(error instanceof Error ? error.message : String(error))
    }
  const why = faults.length > 0 ? faults.join("; ") : `none with the controller ${controller} is mounted`
  throw unbounded(field, `this daemon may make no control group that bounds ${BOUNDED[controller]} (${why})`)
}

function hierarchies(controller: Controller): readonly Hierarchy[] {
  const read = (name: string) => readFileSync(`/proc/self/${name}`, "utf8")
  return hierarchiesIn({ mountinfo: read("mountinfo"), cgroup: read("cgroup") }, controller)
}

function ownGroup({ own }: Hierarchy): Place {
  if (own === undefined) throw new Error("the daemon's own group cannot be seen here")
  accessSync(own, constants.W_OK)
  return { version: 1, folder: own }
}

/** What was delegated before what is root's. Groups in it have the controller then. */
function groupOfOthers({ mount, own }: Hierarchy, controller: Controller): Place {
  try {
    if (!own?.endsWith(`/${DAEMONS_GROUP}`)) throw new Error("none was delegated to it")
    return { version: 2, folder: allow(dirname(own), controller) }
  } catch (error) {
    if (process.getuid?.() !== 0) throw error
    const folder = join(allow(mount, controller), OVM)
    mkdirSync(folder, { recursive: true })
    return { version: 2, folder: allow(folder, controller) }
  }
}

function allow(group: string, controller: Controller): string {
  const control = join(group, "cgroup.subtree_control")
  if (!readFileSync(control, "utf8").split(/\s+/).includes(controller))
    writeFileSync(control, `+${controller}`, { flag: "r+" })
  return group
}

/** A kernel may have the controller, and nothing in it that weighs. */
function assertWeighed({ version, folder }: Place): void {
  if (!WEIGHT_FILES[version].some((name) => existsSync(join(folder, name))))
    throw new Error("this kernel weighs no input and output")
}

/** `field` is what somebody has asked for and cannot be had. */
export function unbounded(field: string, reason: string, cause?: unknown): OvmError {
  return new OvmError("OVM_UNSUPPORTED", `${field}: ${reason}`, {
    cause,
    detail: [{ pointer: field, reason }],
    hint: "a daemon of root's, or, with systemd 254 or later, one of ovm install-service may make them",
  })
}
