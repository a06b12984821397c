/**
 * The shell programs of a slot, for any POSIX `sh` (dash, bash, busybox).
 *
 * They are the whole of what runs outside a sandbox beside the launchers. Every value of a run reaches
 * them single-quoted in a file that the worker wrote, never on a command line.
 */

/** Limits of each process: open files, at most what this process may have, and the size of a file in 512 bytes. */
const limit = `ulimit -c 0
ulimit -n "$files" 2>/dev/null || ulimit -n "$(ulimit -H -n)"
ulimit -f "$blocks"`

/** Finds a way inside an image: shared by the slot and by what enters a sandbox later. */
const walk = `
# Walks the path $2 from the folder $1 inside the image as its own root: absolute links start there, '..' ends there.
# With $3 missing folders are made. Leaves where it came in $here; fails where the path does not lead on.
walk() {
  here=$1 left=$2 hops=0
  case $left in /*) here= ;; esac
  while [ -n "$left" ]; do
    part=\${left%%/*}
    case $left in */*) left=\${left#*/} ;; *) left= ;; esac
    case $part in
      '' | .) continue ;;
      ..) here=\${here%/*}; continue ;;
    esac
    if [ -L "$mountpoint$here/$part" ]; then
      hops=$((hops + 1))
      [ "$hops" -le 40 ] || return 1
      link=$(readlink -n "$mountpoint$here/$part"; echo .)
      link=\${link%.}
      case $link in /*) here= ;; esac
      left=$link/$left
    elif [ -e "$mountpoint$here/$part" ]; then
      [ -z "$left" ] || [ -d "$mountpoint$here/$part" ] || return 1
      here=$here/$part
    elif [ -n "$3" ] && mkdir "$mountpoint$here/$part" 2>"$slot/log"; then
      here=$here/$part
    else
      return 1
    fi
  done
}
`

/**
 * The slot: PID 1 of its own pid namespace and alone in its own mount namespace, it carries out one run at a time.
 *
 * Arguments: the slot's folder, the folder of the layers, the mountpoint, what limits one process (see `limit`), the
 * file of the limit of processes of the slot's group, with that limit, and whether the network is to have a way out. Standard input: one line a run, after the
 * worker has written the files of the run. Descriptor 3: `ready PID`; then for each run `start` and `exit CODE HOW` (`exited`, `signalled`, or nothing where that is not known), or
 * `fault REASON TEXT`, each followed by this process's line of /proc.
 */
export const slot = `
slot=$1 layers=$2 mountpoint=$3 files=$4 blocks=$5 pids=$6 processes=$7 outbound=$8
umask 022
${limit}
# The id of this process as the worker knows it, before /proc shows this pid namespace.
read -r pid rest </proc/self/stat
mount -n -t proc proc /proc
if [ -n "$outbound" ]; then
  # What is bound to the interface may not name the machine's loopback: the tool at its other end would go there.
  ip route add prohibit 127.0.0.0/8 || exit
  # The tool carries IPv4 only, and an interface that announces itself would look used.
  [ ! -d /proc/sys/net/ipv6 ] || echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6 || exit
  # Without NET_RAW everyone may still ask for an echo, as far as ids are mapped.
  { echo '0 65535' >/proc/sys/net/ipv4/ping_group_range || echo '0 0' >/proc/sys/net/ipv4/ping_group_range; } 2>/dev/null
fi
uids= gids=
while read -r inner outer count; do uids="$uids$inner $inner $count
"; done </proc/self/uid_map
while read -r inner outer count; do gids="$gids$inner $inner $count
"; done </proc/self/gid_map
cd "$layers" || exit
# Writable for every id, so that a program can open /dev/stdout anew.
mkfifo -m 622 "$slot/out" "$slot/err" && mkfifo "$slot/info" "$slot/mapped" "$slot/in" || exit
printf 'ready %s\\n' "$pid" >&3

report() {
  read -r stat </proc/self/stat
  printf '%s\\n%s\\n' "$1" "$stat" >&3
}

${walk}
# The folders on which /proc and /dev go. Those that the image lacks are taken back after the run.
prepare_root() {
  made=
  for name in proc dev; do
    if [ -L "$mountpoint/$name" ] || { [ -e "$mountpoint/$name" ] && [ ! -d "$mountpoint/$name" ]; }; then
      fault="UnusableImage /$name of the image is no folder"
      return 1
    elif [ ! -e "$mountpoint/$name" ]; then
      mkdir "$mountpoint/$name" 2>"$slot/log" || { fault='SetupFailed log'; return 1; }
      made="$made $mountpoint/$name"
    fi
  done
}

# The file of the image in which the name servers are shown, where it is a file.
prepare_resolver() {
  resolver=
  [ "$network" = slot ] && walk '' /etc/resolv.conf '' && [ -f "$mountpoint$here" ] && resolver=$here
  return 0
}

prepare_directory() {
  here=
  [ "$directory" = / ] || { walk '' "$directory" make && [ -d "$mountpoint$here" ]; } || {
    fault='InvalidSpec the working directory is no folder in the image and cannot become one'
    return 1
  }
}

# The built-in launcher reports how the command ended, or why there was none, with the number of the error as its code.
settle() {
  read -r said <"$slot/status"
  case $said in
    '') ;;
    exited | signalled) how=$said ;;
    *:) fault="$said errno $code" ;;
    *) fault=$said ;;
  esac
}

# Bubblewrap ends with 1 when it fails itself. It reports an exit code only for a program that it started, and it
# takes the byte of descriptor 7 when all but starting it is done.
settle_bubblewrap() {
  [ "$code" -eq 1 ] || return 0
  while read -r line; do
    case $line in *'"exit-code"'*) return 0 ;; esac
  done <"$slot/status"
  read -r byte <&7
  if [ -n "$byte" ]; then
    fault='SetupFailed bubblewrap could not set up the sandbox, its message is on standard error'
    return 0
  fi
  code=127
  case $program in
    */*) walk "$directory" "$program" '' && code=126 ;;
  esac
}

# Gives the user namespace that bubblewrap has made all the ids of this one.
map_ids() {
  while read -r key value; do
    # Not to its end: some shells hold the other end of the pipe themselves.
    case $key in '"child-pid":') child=\${value%,} ;; '}') break ;; esac
  done <"$slot/info"
  printf %s "$uids" >"/proc/$child/uid_map"
  printf %s "$gids" >"/proc/$child/gid_map"
  printf 1 >"$slot/mapped"
}

while read -r go; do
  code=0 how= fault= launched= made= overlay=
  . "$slot/launch"
  if [ -z "$overlay" ] || mount -n -t overlay -o "$overlay" overlay "$mountpoint" 2>"$slot/log"; then
    if [ -z "$overlay" ] || { prepare_root && prepare_resolver && prepare_directory; }; then
      launched=1
      # The input is open before the start is reported: what is written to it from then on is not lost.
      { report start; launch; } <"$input"
      # A payload may have used up the processes of the slot's group, and what follows needs some.
      [ -z "$pids" ] || echo max >"$pids"
      # What the launcher left behind is ended and gone, zombies too, before the run counts as ended.
      while kill -s KILL -- -1 2>/dev/null; do (:); done
      [ -z "$pids" ] || echo "$processes" >"$pids"
    fi
    [ -z "$made" ] || rmdir $made 2>/dev/null
  else
    fault='Refused log'
  fi
  # Nobody has opened the pipes for writing: the worker waits for their end.
  [ -n "$launched" ] || { : >"$slot/out"; : >"$slot/err"; }
  # Secrets, and memory.
  : >"$slot/args"
  : >"$slot/inner"
  : >"$slot/entry"
  : >"$slot/stdin"
  : >"$slot/status"
  : >"$slot/pid"
  if [ -n "$fault" ]; then report "fault $fault"; else report "exit $code $how"; fi
  [ -z "$overlay" ] || umount -n "$mountpoint" 2>/dev/null || umount -n -l "$mountpoint" 2>/dev/null
done
`

/**
 * PID 1 of a sandbox under util-linux alone: it prepares the root, starts the payload in it, reaps what is left to
 * it, and ends with the payload's status. It keeps more capabilities than the payload has, so that the payload cannot
 * look into it.
 *
 * Arguments: the slot's folder, the mountpoint, the folder of the skeleton of /dev, the table of mounts, and the file of
 * the image that the name servers are shown in, if any.
 */
export const inner = `
slot=$1 mountpoint=$2 skeleton=$3 table=$4 resolver=$5
read -r init rest </proc/self/stat
. "$slot/inner"
# A user namespace of one renamed id, held by a process of the sandbox: the payload can enter it after it has lost
# sight of the tools that could make it.
rename_id() {
  unshare --user "--map-user=$1" "--map-group=$2" -- sh -c 'echo 1 >"$1" && exec sleep 2147483647' sh "$slot/mapped" &
  holder=$!
  read -r answer <"$slot/mapped"
}
prepare() {
  mount -n -t tmpfs -o mode=0755,nosuid,noexec,size=64m tmpfs "$mountpoint/dev" &&
    cp -a "$skeleton/." "$mountpoint/dev/" &&
    mount -n -a -T "$table" &&
    { [ -z "$resolver" ] || mount -n -o bind,ro,nosuid "$slot/resolv" "$mountpoint$resolver"; } &&
    raise_loopback &&
    name_host &&
    take_identity &&
    cd "$mountpoint" &&
    mount -n --move . /
}
if prepare 2>"$slot/log"; then
  # A shell says on its standard error which signal ended its child; its status alone does not tell a signal from an
  # exit code above 128.
  exec 4>&2 2>"$slot/death"
  (
    exec 2>&4 4>&-
    read -r pid rest </proc/self/stat
    printf '%s %s\\n' "$init" "$pid" >"$slot/pid"
    payload
  )
else
  printf 1 >"$slot/status"
fi
`

/** Where the sandbox of a slot's run is, for those who come later; an image's programs are never asked. */
const find = `
fail() { printf 'fault %s\\n' "$*" >&3; exit 1; }
find_sandbox() {
  init= main=
  case $launcher in
    built-in)
      # The only processes with these numbers in a pid namespace below this one; the command leads its own session.
      for folder in /proc/[0-9]*; do
        leads=
        while read -r key value inner; do
          case $key$inner in
            NSpid:1) init=$value; break ;;
            NSpid:2) leads=$value ;;
            NSsid:2) main=\${leads:-$main}; break ;;
          esac
        done <"$folder/status"
      done 2>/dev/null
      [ -n "$main" ] || init=
      mountpoint=/proc/$init/root root=$mountpoint
      ;;
    bubblewrap)
      while read -r line; do
        case $line in *'"child-pid": '*) init=\${line#*'"child-pid": '}; init=\${init%%[!0-9]*} ;; esac
      done <"$slot/status"
      main=$init root=/proc/$init/root
      ;;
    *)
      read -r init main <"$slot/pid"
      root=/proc/$init/cwd
      ;;
  esac
  # Before this holds the process has not left the root of the slot.
  [ -n "$init" ] && [ "$root" -ef "$mountpoint" ] || fail NotReady the sandbox is not ready yet
}
`

/**
 * Starts one more process in the sandbox of a slot's run, from the slot's namespaces, and becomes it.
 *
 * It joins the namespaces with all capabilities of the sandbox's root, which no payload has: none may look into it.
 * The entry program is found by its descriptor, since its path leads nowhere in there. Arguments: the slot's folder, the prefix of this process's files, the mountpoint, and what limits one process. Standard input: a line
 * to go on. Descriptor 3: `made` when the pipes are there, then `start`, or `fault REASON TEXT`.
 */
export const enter = `
slot=$1 process=$2 mountpoint=$3 files=$4 blocks=$5
umask 022
${limit}
${walk}
${find}
. "$process"
find_sandbox
mkfifo -m 622 "$process.out" "$process.err" && mkfifo "$process.in" || fail SetupFailed its pipes cannot be made
printf 'made\\n' >&3
read -r go || exit
here=
[ "$directory" = / ] || { walk '' "$directory" make && [ -d "$mountpoint$here" ]; } 2>/dev/null ||
  fail InvalidSpec the working directory is no folder in the image and cannot become one
join=
[ /proc/self/ns/user -ef "/proc/$init/ns/user" ] || join=--user=/proc/$init/ns/user
printf '%s\\n' "$$" >"$process.pid"
exec <"$input" >"$process.out" 2>"$process.err"
printf 'start\\n' >&3
exec 3>&- 5<"$process.entry"
enter
`

/**
 * Sends a signal to the group of a process of a slot's run. Arguments: the slot's folder, the prefix of the process's
 * files or nothing for the run's own command, the mountpoint, the launcher, the signal's number. Says `sending` on
 * descriptor 3 before it does, since the signal may end the run and with it this program; fails with `fault` there where
 * there is no such process.
 */
export const signal = `
slot=$1 process=$2 mountpoint=$3 launcher=$4 signal=$5
${find}
find_sandbox
[ -z "$process" ] || read -r parent <"$process.pid" || fail NotReady the process is not ready yet
# One that has just been started may not be there yet, or not lead its group yet.
said= tries=0
while [ "$tries" -lt 200 ]; do
  tries=$((tries + 1))
  if [ -n "$process" ]; then
    main=
    for folder in /proc/[0-9]*; do
      while read -r key value; do
        case $key in PPid:) [ "$value" != "$parent" ] || main=\${folder#/proc/}; break ;; esac
      done <"$folder/status"
    done 2>/dev/null
  fi
  if [ -n "$main" ]; then
    [ -n "$said" ] || printf 'sending\\n' >&3
    said=1
    kill "-$signal" "-$main" 2>/dev/null && exit
  fi
  [ -d "/proc/\${parent:-$main}" ] || break
done
fail Gone the process is gone
`
