#!/bin/bash
# test_terminal.sh - at a terminal: a passphrase that is broken off, and a sentence that follows a line of progress
. "$(dirname "$0")/lib.sh"
/usr/bin/python3 -c 'import os; os.openpty()' 2>/dev/null || { skip "at a terminal" "no pseudo-terminals here (/dev/pts)"; exit 0; }
tiny_data || exit 1
fed=$work/fed port=$(free_port)
federation "$fed" "$port" nord
home=$work/home-nord

# at_terminal TEXT UNTIL COMMAND...: runs it at a terminal of its own and types TEXT when UNTIL stands there.  Prints what
# stood there in the end, whether the terminal shows what is typed, and how the program ended.
at_terminal() { timeout 120 /usr/bin/python3 - "$@" <<'PY'
import fcntl, os, select, sys, termios
text, until, command = sys.argv[1].encode().decode("unicode_escape").encode(), sys.argv[2].encode(), sys.argv[3:]
fd, terminal = os.openpty()  # which outlive the program
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for n in range(3):
        os.dup2(terminal, n)
    os.execv(command[0], command)
seen, typed, done = b"", False, 0
while not done or select.select([fd], [], [], 0)[0]:
    if select.select([fd], [], [], 0.05)[0]:
        seen += os.read(fd, 4096)
    if not typed and until in seen:
        os.write(fd, text)
        typed = True
    if not done:
        done, status = os.waitpid(pid, os.WNOHANG)
print(seen.decode(errors="replace").replace("\r\n", "\n"))
print("echo", "on" if termios.tcgetattr(terminal)[3] & termios.ECHO else "off")
print(f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"code {os.WEXITSTATUS(status)}")
PY
}

printf 'a long passphrase\n' >"$work/secret"; chmod 600 "$work/secret"
export CONSILIUM_NEW_PASSPHRASE_FILE=$work/secret
check "keys under a passphrase" "$bin/client" passphrase --home "$home"
check "and the coordinator's" "$bin/coordinator" passphrase "$fed"

shown=$(at_terminal 'a long passphrase\n' 'curve.key:' "$bin/client" doctor --home "$home")
check "a passphrase is typed and not shown" eval 'grep -q "^policy" <<<"$shown" && ! grep -q "a long" <<<"$shown" && grep -q "echo on" <<<"$shown"'
for program in "client run --home $home" "client doctor --home $home" "coordinator run $fed --bind tcp://127.0.0.1:$port"; do
    read -ra words <<<"$program"
    shown=$(at_terminal '\x03' 'curve.key:' "$bin/${words[0]}" "${words[@]:1}")
    check "Ctrl-C ends ${words[0]} ${words[1]} at the prompt, and the terminal shows what is typed again" \
        eval 'grep -Eq "^(signal 2|code 1)$" <<<"$shown" && grep -q "echo on" <<<"$shown"'
done

"$bin/coordinator" invite "$fed" --site sud --out "$work/sud.invitation" >/dev/null </dev/null 2>&1
: >"$work/empty"
refuses "a file without a passphrase is told from a wrong one" 1 'its first line is empty' \
    env CONSILIUM_PASSPHRASE_FILE="$work/empty" "$bin/client" doctor --home "$home"
check "who looks needs no passphrase" eval '"$bin/coordinator" sites "$fed" </dev/null && "$bin/coordinator" status "$fed" </dev/null'
check "nor a hospital's people, who look and approve" \
    eval '"$bin/client" sent --home "$home" </dev/null && "$bin/client" approve --home "$home" </dev/null'
check "nor who revokes" eval '"$bin/coordinator" remove "$fed" nord </dev/null'

# A hospital whose data do not fit ends the run while a line of progress stands there.
fed=$work/fed2 port=$(free_port)
rm -rf "$work"/home-*
federation "$fed" "$port" nord sud
sed -i "s/opacity/shadow/" "$work/data/sud/dataset.yaml"  # another class than the job's
tiny_job "$work/job.yaml"
for site in nord sud; do start "client-$site" "$bin/client" run --home "$work/home-$site"; done
shown=$(at_terminal '' 'never said' "$bin/coordinator" run "$fed" --job "$work/job.yaml" --bind "tcp://127.0.0.1:$port")
check "a sentence behind a line of progress does not stand in that line" \
    eval 'grep -q "the data of these sites do not fit" <<<"$shown" && /usr/bin/python3 -c "
import sys
line = [l for l in sys.argv[1].split(chr(10)) if \"do not fit\" in l][0]
shown = line.split(chr(13))[-1].replace(chr(27) + \"[K\", \"\")
assert shown.startswith(\"consilium-coordinator run: \"), repr(line)" "$shown"'
