"""Objects the tests create, as short as they can be while valid."""


def configmap(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name, image="registry.invalid/none:1", labels=None, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {"app": name}},
            "spec": {"containers": [{"name": "main", "image": image}], **spec}}


def deployment(name, replicas=2, image="registry.invalid/none:1", **spec):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}},
                                  "spec": {"containers": [{"name": "main", "image": image,
                                                           "ports": [{"containerPort": 8080}]}]}}, **spec}}


def service(name, port=80, target=8080, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": port, "targetPort": target}], **spec}}


def node(name, **labels):
    return {"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}}}


def node_status():
    amounts = {"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "10Gi"}
    return {"status": {"capacity": amounts, "allocatable": amounts,
                       "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready",
                                       "lastHeartbeatTime": "2030-01-01T00:00:00Z",
                                       "lastTransitionTime": "2030-01-01T00:00:00Z"}]}}


def make_ready(api, namespace, name):
    """Say of a pod, in an agent's place, that it runs and is Ready."""
    answer = api.patch(f"/api/v1/namespaces/{namespace}/pods/{name}/status", {"status": {
        "phase": "Running", "conditions": [{"type": "Ready", "status": "True"},
                                           {"type": "ContainersReady", "status": "True"}]}})
    assert answer.code == 200, answer.body


def web(cluster, name="web", replicas=2, version=1, **spec):
    """A Deployment of the sample service with a readiness probe."""
    one = deployment(name, replicas, f"{cluster.registry}/web:{version}", **spec)
    container = one["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]
    container["readinessProbe"] = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1}
    return one


def box(cluster, name="box", command=None, **container):
    """A pod with a shell and its tools that sleeps, or runs a shell command."""
    one = pod(name, f"{cluster.registry}/box:1", terminationGracePeriodSeconds=1)
    one["spec"]["containers"][0].update(container)
    if command:
        one["spec"]["containers"][0]["command"] = ["sh", "-c", command]
    return one


def ingress(name, host=None, path="/"):
    rule = {"http": {"paths": [{"path": path, "pathType": "Prefix",
                                "backend": {"service": {"name": name, "port": {"number": 80}}}}]}}
    if host:
        rule["host"] = host
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name},
            "spec": {"ingressClassName": "klein", "rules": [rule]}}
