# Guardrail in a container: two stages, no compiler in the second, an ordinary user, weights in the image.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE ./
COPY guardrail guardrail
RUN python -m venv /opt/guardrail \
    && /opt/guardrail/bin/pip install --no-cache-dir -c constraints.txt '.[postgres]' \
    && GUARDRAIL_HOME=/var/lib/guardrail /opt/guardrail/bin/guardrail models pull

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/guardrail guardrail
COPY --from=build /opt/guardrail /opt/guardrail
COPY --from=build --chown=guardrail /var/lib/guardrail /var/lib/guardrail
ENV PATH=/opt/guardrail/bin:$PATH GUARDRAIL_HOME=/var/lib/guardrail GUARDRAIL_SERVER_HOST=0.0.0.0
USER guardrail
VOLUME /var/lib/guardrail
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["guardrail"]
CMD ["serve"]
