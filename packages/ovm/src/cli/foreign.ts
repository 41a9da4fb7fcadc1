const LATER = "not there yet"
const AGAIN = "ovm restart ID stops a machine and starts it again"
const END = "ovm stop ID ends a machine, ovm rm ID forgets it"
const REMOVE = "ovm rm ID removes a machine, ovm rmi IMAGE an image"
const LIST = "ovm ps lists machines, ovm images lists images"
const RUN = "ovm run IMAGE starts a machine"
const SHOW = "ovm status ID shows a machine, ovm inspect IMAGE an image"
const SNAPSHOT = "ovm snapshot ID --tag TAG keeps a machine as an image that ovm run goes on from"

/** What to do here in place of a command that other tools have: no likeness of letters finds it. */
export const FOREIGN: Readonly<Record<string, string | undefined>> = Object.assign(Object.create(null), {
  apply: RUN,
  checkpoint: SNAPSHOT,
  clone: SNAPSHOT,
  config: "ovm info says where settings are",
  console: "ovm attach ID joins the terminal and a machine's console",
  define: "ovm pack makes an image of a kernel and disks, ovm run starts a machine of it",
  delete: REMOVE,
  describe: SHOW,
  destroy: END,
  domrename: "ovm rename ID NAME",
  dumpxml: SHOW,
  get: LIST,
  halt: END,
  history: "ovm inspect IMAGE shows the layers of an image",
  kill: "ovm stop --time 0 ID ends a machine at once",
  list: LIST,
  log: "ovm logs ID",
  ls: LIST,
  poweroff: END,
  reboot: AGAIN,
  remove: REMOVE,
  reset: AGAIN,
  restore: "ovm run SNAPSHOT goes on from a snapshot",
  search: LATER,
  serve: "ovm registry serve serves images, ovm daemon the runtime API",
  show: SHOW,
  shutdown: END,
  scp: "ovm ssh ID cat FILE, until there is more",
  suspend: "ovm pause ID has a guest stand still; ovm snapshot ID --tag TAG keeps it beyond that",
  tail: "ovm logs --follow ID",
  undefine: REMOVE,
  unpause: "ovm resume ID",
})
