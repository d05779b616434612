#!/bin/bash
# What a spot machine does when it starts, the first time and after each time that it was taken away: the same training.
# Debian 12, whose Python is new enough; everything else is in the settings, which the machine's template gives.
set -eu
: "${CLOUD:?gce or ec2}" "${RUN:?where the run is kept, gs://... or s3://...}" "${PHOTOS:?the photos, in folders}"
: "${FINISHED:?a command that asks for no more machines}"

apt-get update
apt-get install --yes --no-install-recommends python3-venv
python3 -m venv /opt/kertl
/opt/kertl/bin/pip install --quiet 'kertl[remote,openvino]' gcsfs s3fs

# A machine that is taken away ends it with status 143, after a checkpoint; the next one goes on from there.
if /opt/kertl/bin/kertl train "$PHOTOS" --backbone EfficientNetV2B0 --recipe mid --out "$RUN" --notices "$CLOUD"; then
    eval "$FINISHED"
fi
