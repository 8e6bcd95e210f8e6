#!/bin/sh
# Say of one Slurm job: running, success or failed. squeue knows a job for some minutes after its end
# (MinJobAge), the accounting database, where there is one, for longer. Where squeue fails there is no news; a
# job that nobody knows any more counts as failed.
answer=$(squeue --noheader --states=all --format=%T --jobs="$1" 2>&1) || case $answer in
  # Forgotten: what was preempted then was not queued again.
  *'Invalid job id'*) answer=$(timeout 30 sacct -X --noheader --format=State%20 --jobs="$1" 2>/dev/null |
    sed s/PREEMPTED/FAILED/) ;;
  *) answer=RUNNING ;;
esac
set -- $answer
case ${1:-UNKNOWN} in
  COMPLETED) echo success ;;
  BOOT_FAIL | CANCELLED* | DEADLINE | FAILED | NODE_FAIL | OUT_OF_MEMORY | TIMEOUT | UNKNOWN) echo failed ;;
  *) echo running ;;
esac
