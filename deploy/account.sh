# shellcheck shell=bash
# shellcheck disable=SC2034 # who sources this reads what it sets
# The account that deploy.sh and destroy.sh work on, and its stacks: sourced by both, which say their name in `program`.
: "${program:?}"

# The stacks in the order in which each needs those before it.
all_stacks=(network data migrate messaging web edge ops pipeline)

name=photo-gallery
region="${AWS_REGION:-${AWS_DEFAULT_REGION:-}}"
endpoint=()

say() { echo "$*"; }
die() { echo "$program: $*" >&2; exit 1; }

# Prints the comment at the top of a program: what --help says.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$1"; }

# Takes an option that both programs have: shared_option OPTION VALUE
shared_option() {
    case "$1" in
    --name)
        [[ "$2" =~ ^[a-z][a-z0-9]*(-[a-z0-9]+)*$ && "$2" =~ ^.{2,21}$ ]] ||
            die "--name wants 2 to 21 small letters and digits, a letter first, with single hyphens between, not \"$2\""
        # Names of Cognito's domains and of load balancers may not have these.
        case "$2" in
        aws* | *amazon* | *cognito* | internal | internal-*) die "--name: AWS keeps names like \"$2\" to itself, those with aws or internal at the front, or with amazon or cognito in them" ;;
        esac
        name="$2"
        ;;
    --region) region="$2" ;;
    --endpoint-url)
        [[ "$2" =~ ^https?://[^/]+/?$ ]] || die "--endpoint-url wants an address like http://127.0.0.1:4566, not \"$2\""
        endpoint=(--endpoint-url "${2%/}")
        ;;
    *) return 1 ;;
    esac
}

# Runs the AWS CLI on the account; answers are text.
cloud() { aws --region "$region" --output text "${endpoint[@]}" "$@"; }

# The last line of what a failed command said.
last_line() { grep -v '^[[:space:]]*$' "$scratch/error" | tail -n 1; }

# Makes sure that the tools are there and that somebody is signed in, and says where.
enter_account() {
    local tool who
    ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)) || die "bash 4.4 or newer is needed, this is $BASH_VERSION"
    for tool in aws "$@"; do
        case "$tool" in
        aws) command -v aws >/dev/null || die "the AWS CLI is missing: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html" ;;
        *) command -v "$tool" >/dev/null || die "$tool is missing: install it by your system's package manager" ;;
        esac
    done
    export AWS_PAGER=""
    [ -n "$region" ] || region="$(aws configure get region 2>/dev/null)" ||
        die "no region is known: give --region, set AWS_REGION, or run \"aws configure\""
    umask 077
    scratch="$(mktemp -d)"
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    who="$(cloud sts get-caller-identity --query '[Account, Arn]' 2>"$scratch/error")" ||
        die "AWS does not let you in: $(last_line). Run \"aws configure\", or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    account="${who%%$'\t'*}"
    say "Account $account, region $region, as ${who#*$'\t'}${endpoint[1]:+, at ${endpoint[1]}}"
}

# --- stacks ------------------------------------------------------------------------------------------------------------------

declare -A status_of=() id_of=() value_of=() output_of=()

# Reads the stacks there are: their status and id by the stack's name, the values of their parameters and outputs by "STACK KEY".
read_stacks() {
    local kind key value rest stack="" parameter="" own
    status_of=() id_of=() value_of=() output_of=()
    # Only those of this deployment: a value of somebody else's stack could hold lines that look like another stack.
    own="$(printf '"%s",' "${all_stacks[@]/#/$name-}")"
    cloud cloudformation describe-stacks --query "Stacks[?contains(\`[${own%,}]\`, StackName)].[[['stack', StackName, StackStatus, StackId]],
        Parameters[].['parameter', ParameterKey, ParameterValue], Outputs[].['output', OutputKey, OutputValue]][][]" \
        >"$scratch/stacks" 2>"$scratch/error" || die "the stacks cannot be listed: $(last_line)"
    while IFS=$'\t' read -r kind key value rest; do
        case "$kind" in
        stack)
            stack="$key"
            status_of["$stack"]="$value"
            id_of["$stack"]="$rest"
            ;;
        parameter)
            parameter="$stack $key"
            value_of["$parameter"]="$value"
            ;;
        output) output_of["$stack $key"]="$value" ;;
        *) value_of["$parameter"]+=$'\n'"$kind" ;; # a public key has several lines
        esac
    done <"$scratch/stacks"
}

# Prints an output of a stack: output STACK KEY
output() {
    [ -n "${status_of["$name-$1"]:-}" ] || die "there is no stack $name-$1: deploy it first"
    [ -n "${output_of["$name-$1 $2"]:-}" ] || die "the stack $name-$1 has no output $2: it is of another version"
    echo "${output_of["$name-$1 $2"]}"
}

# Prints the physical ids of a stack's resources of a type: resources STACK TYPE
resources() {
    cloud cloudformation describe-stack-resources --stack-name "$1" \
        --query "StackResources[?ResourceType=='$2'].[LogicalResourceId, PhysicalResourceId]"
}

# Waits until a stack has begun what it was asked for by a token, and nothing of it is in progress any more, and puts its status into
# $settled: wait_for STACK-ID TOKEN
wait_for() {
    local pause=0.2 until=$((SECONDS + 7200)) begun=false
    while :; do
        # What is asked for is in the events a little later; until then the status is that from before.
        $begun || ! has_begun "$1" "$2" || begun=true
        settled="$(cloud cloudformation describe-stacks --stack-name "$1" --query 'Stacks[0].StackStatus' 2>"$scratch/error")" || {
            grep -q 'does not exist' "$scratch/error" || die "the stack $1 cannot be looked at: $(last_line)"
            settled=DELETE_COMPLETE
            return
        }
        case "$begun $settled" in
        "true "*_IN_PROGRESS | false*) ((SECONDS < until)) || die "the stack $1 has been $settled for two hours: look at its events" ;;
        *) return ;;
        esac
        sleep "$pause"
        pause="$(awk -v pause="$pause" 'BEGIN { print (pause * 2 < 5) ? pause * 2 : 5 }')"
    done
}

# Whether a stack has begun what it was asked for by a token.
has_begun() {
    local events
    events="$(cloud cloudformation describe-stack-events --stack-name "$1" --max-items 50 --query "StackEvents[?ClientRequestToken=='$2'] | [0].EventId" 2>"$scratch/error")" || {
        grep -q 'does not exist' "$scratch/error" || die "the events of the stack $1 cannot be looked at: $(last_line)"
        return 0
    }
    [ -n "${events//None/}" ]
}

# Prints a sentence for each resource that failed in an operation, the first first: reasons STACK-ID TOKEN
reasons() {
    local resource type status reason
    cloud cloudformation describe-stack-events --stack-name "$1" --query "reverse(StackEvents[?ClientRequestToken=='$2' && \
        ends_with(ResourceStatus, 'FAILED')].[LogicalResourceId, ResourceType, ResourceStatus, ResourceStatusReason])" |
        while IFS=$'\t' read -r resource type status reason; do
            case "$reason" in
            *cancelled*) ;; # because of another's failure
            *) say "  $resource ($type) is $status: ${reason:-no reason is given}" ;;
            esac
        done
}
