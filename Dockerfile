# Training and registration in a container.
#
#   docker build --tag tf_lungreg .
#   docker build --tag tf_lungreg:gpu --build-arg DEVICE=gpu .
#
#   docker run --rm --user "$(id --user):$(id --group)" --volume "$PWD:/work" tf_lungreg \
#       register inhale.nii.gz exhale.nii.gz --out out
#   docker run --rm --gpus all --shm-size 1g --user "$(id --user):$(id --group)" \
#       --volume "$PWD:/work" tf_lungreg:gpu train --cohort mycohort --preset paper
#
# --user makes the results yours and not those of the image's own user. To serve a model, see
# serving/README.md: that is TensorFlow Serving's image.
ARG DEVICE=cpu

FROM python:3.11-slim AS cpu

# Brings TensorFlow 2.15.0 with its CUDA libraries, which setup.cfg accepts.
FROM tensorflow/tensorflow:2.15.0-gpu AS gpu

# hadolint ignore=DL3006
FROM ${DEVICE}

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib

COPY . /tmp/tf_lungreg
RUN python -m pip install --no-cache-dir "/tmp/tf_lungreg[baselines]" \
    && rm -r /tmp/tf_lungreg \
    && useradd --create-home --uid 1000 lungreg \
    && install --directory --owner lungreg /work

USER 1000
WORKDIR /work
ENTRYPOINT ["tf-lungreg"]
CMD ["--help"]
