# docker build -t transfer-bench . && docker run --rm -v "$PWD/runs:/work/runs" transfer-bench
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY bench bench
COPY reports reports
COPY strategies strategies
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir .

FROM python:3.13-slim
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
RUN useradd --create-home --uid 1000 bench && install -d -o bench -g bench /work /work/runs
USER 1000
WORKDIR /work
ENTRYPOINT ["transfer-bench"]
# The quickstart. Other arguments are other commands, such as: plan --dataset photos/
CMD ["run"]
