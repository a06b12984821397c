import { NodeContext } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Worker from "./sandboxWorker.js"
it.live("try", () => Effect.gen(function*() {
  for (const identity of ["root","user","subordinate"] as const)
  for (const launcher of ["bubblewrap","util-linux"] as const) {
  yield* Effect.scoped(Effect.gen(function*() {
  const w = yield* Worker.make({ identity, launcher })
  console.log(w.pid, w.idShift, w.ownership, w.directory, w.launcher, w.rejected)
  for (const uid of [0, 1000]) {
  const r = yield* w.shell("id; cat /proc/self/uid_map; ls -la / /dev; ls -la /var; cat /proc/self/status | grep -E 'Cap|Sig|NoNew'; echo hi >&2; ps; hostname; ifconfig lo; env; pwd; echo a >/tmp/a; ulimit -n; ls -l /proc/self/fd; exit 5", {uid, gid: uid, cwd: "/new/dir"})
  console.log(identity, launcher, r.code, r.elapsed, r.userTime, Worker.text(r.stdout), Worker.text(r.stderr))
  }
  const rs: number[] = []
  for (let i=0;i<20;i++) rs.push((yield* w.run({})).elapsed)
  console.log(rs.map(x=>x.toFixed(1)).join(" "))
  })) }
}).pipe(Effect.scoped, Effect.provide(NodeContext.layer)))
void assert
