"""What a machine calls AWS for before the program runs: the user data's own functions, with a role's rights and no machine."""

import subprocess
import tempfile
from pathlib import Path

from deployment import AWS, BOOTSTRAP, Role

# The functions run as they are, what may be at once. The journal says one line, and the log shipper keeps its cursor in the scratch folder.
CALLS = """
region=us-east-1 instance=i-0123456789abcdef0
journalctl() { printf '%s.123456 photo-gallery[1]: it begins\\n-- cursor: s=1\\n' "$(date +%s)"; }
eval "$(declare -f ship | sed "s|/var/lib/photo-gallery-logs|$scratch|")"
aws() {
    case "$2" in signal-resource) echo "$*" >"$scratch/signalled" ;; esac
    command aws "$@"
}
calls=()
fetch "$RELEASE" "$RELEASE_SHA256" "$scratch/release" & calls+=("$!")
fetch "$RDS_CA" "$RDS_CA_SHA256" "$scratch/authorities" & calls+=("$!")
while IFS='=' read -r name arn; do
    secret "$name" "$arn" >"$scratch/secret.$name" & calls+=("$!")
done <<<"$SECRETS"
ship "$LOG_GROUP" "$instance" & calls+=("$!")
signal 0 & calls+=("$!")
for call in "${calls[@]}"; do wait "$call"; done
"""


def boot(role: Role, variables: dict[str, str]) -> dict[str, str]:
    """Fetches the release, reads the secrets, sends a log and the signal; the secrets. `variables` stand above the script."""
    functions = BOOTSTRAP.read_text().removesuffix("\nmain\n")
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **role.environment(), **variables, "PATH": f"{AWS.parent}:/usr/bin:/bin", "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "scratch": folder,
        }
        done = subprocess.run(["bash", "-c", functions + CALLS], env=environment, capture_output=True, text=True)
        if done.returncode or "AccessDenied" in done.stdout + done.stderr:
            raise RuntimeError(f"the user data's functions fail: {done.stdout}{done.stderr}")
        signalled = Path(folder, "signalled").read_text().split()
        if signalled[signalled.index("--status") + 1] != "SUCCESS":
            raise RuntimeError(f"the user data signals something else than SUCCESS: {signalled}")
        return dict(unquoted(file.read_text()) for file in Path(folder).glob("secret.*"))


def unquoted(line: str) -> tuple[str, str]:
    """The name and the value of a line NAME="value", as systemd reads it."""
    name, value = line.rstrip("\n").split("=", 1)
    plain, letters = "", iter(value[1:-1])
    for letter in letters:
        plain += next(letters) if letter == "\\" else letter
    return name, plain
