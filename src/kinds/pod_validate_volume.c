/* Rules of volumes: exactly one source each, and the rules of every source. */
#include "kinds/claim.h"
#include "kinds/pod.h"

#define TOKEN_SECONDS_MIN 600
#define TOKEN_SECONDS_MAX ((int64_t)1 << 32)

static const char *const volume_fields[] = { "metadata.annotations", "metadata.labels", "metadata.name",
                                             "metadata.namespace",   "metadata.uid",    NULL };
static const char *const host_path_types[] = { "",     "BlockDevice",  "CharDevice", "Directory", "DirectoryOrCreate",
                                               "File", "FileOrCreate", "Socket",     NULL };

/* A text that a source must have. */
static void check_has(struct check *k, const struct at *at, const char *name, struct view source, name_id id)
{
    if (!view_str_at(source, id).n)
        check_required(k, AT_STR(at, str_of(name)), "");
}

static void check_partition(struct check *k, const struct at *at, int64_t partition)
{
    if (partition < 0 || partition > 255)
        check_invalid_int(k, AT(at, "partition"), partition, "must be between 1 and 255, inclusive");
}

static void check_host_path(struct pod_check *p, const struct at *at, struct view source)
{
    struct str path = view_str_at(source, F_HOST_PATH_VOLUME_SOURCE_PATH);

    if (!path.n) {
        check_required(p->k, AT(at, "path"), "");
        return;
    }
    check_no_backsteps(p->k, AT(at, "path"), path);
    check_one_of(p->k, AT(at, "type"), view_str_at(source, F_HOST_PATH_VOLUME_SOURCE_TYPE), host_path_types);
}

static void check_git_repo(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "repository", source, F_GIT_REPO_VOLUME_SOURCE_REPOSITORY);
    check_relative_path(p->k, AT(at, "directory"), view_str_at(source, F_GIT_REPO_VOLUME_SOURCE_DIRECTORY));
}

static void check_gce(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "pdName", source, F_GCE_PERSISTENT_DISK_VOLUME_SOURCE_PD_NAME);
    check_partition(p->k, at, view_int_at(source, 0, F_GCE_PERSISTENT_DISK_VOLUME_SOURCE_PARTITION));
}

static void check_aws(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "volumeID", source, F_AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE_VOLUME_ID);
    check_partition(p->k, at, view_int_at(source, 0, F_AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE_PARTITION));
}

/* The file a key is written to. `paths` (may be NULL) are those that a projected volume has already. */
static void check_items(struct check *k, const struct at *at, struct view items, struct map *paths,
                        const struct at *clash_at, struct str clash_value)
{
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(items, &it) && !check_full(k); i++) {
        struct str path = view_str_at(it.value, F_KEY_TO_PATH_PATH);
        const struct at *item = AT_INDEX(at, i);

        check_has(k, item, "key", it.value, F_KEY_TO_PATH_KEY);
        check_has(k, item, "path", it.value, F_KEY_TO_PATH_PATH);
        check_volume_file(k, AT(item, "path"), path);
        check_file_mode(k, AT(item, "mode"), view_get(it.value, F_KEY_TO_PATH_MODE));
        if (paths && path.n && seen_before(paths, path))
            check_invalid_str(k, clash_at, clash_value, "conflicting duplicate paths");
    }
}

static void check_secret(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "secretName", source, F_SECRET_VOLUME_SOURCE_SECRET_NAME);
    check_file_mode(p->k, AT(at, "defaultMode"), view_get(source, F_SECRET_VOLUME_SOURCE_DEFAULT_MODE));
    check_items(p->k, AT(at, "items"), view_get(source, F_SECRET_VOLUME_SOURCE_ITEMS), NULL, NULL, STR_NONE);
}

static void check_config_map(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "name", source, F_CONFIG_MAP_VOLUME_SOURCE_NAME);
    check_file_mode(p->k, AT(at, "defaultMode"), view_get(source, F_CONFIG_MAP_VOLUME_SOURCE_DEFAULT_MODE));
    check_items(p->k, AT(at, "items"), view_get(source, F_CONFIG_MAP_VOLUME_SOURCE_ITEMS), NULL, NULL, STR_NONE);
}

static void check_nfs(struct pod_check *p, const struct at *at, struct view source)
{
    struct str path = view_str_at(source, F_NFS_VOLUME_SOURCE_PATH);

    check_has(p->k, at, "server", source, F_NFS_VOLUME_SOURCE_SERVER);
    check_has(p->k, at, "path", source, F_NFS_VOLUME_SOURCE_PATH);
    if (!str_starts(path, STR("/")))
        check_invalid_str(p->k, AT(at, "path"), path, "must be an absolute path");
}

static void check_iscsi(struct pod_check *p, const struct at *at, struct view source)
{
    struct str iqn = view_str_at(source, F_ISCSI_VOLUME_SOURCE_IQN);
    int64_t lun = view_int_at(source, 0, F_ISCSI_VOLUME_SOURCE_LUN);

    check_has(p->k, at, "targetPortal", source, F_ISCSI_VOLUME_SOURCE_TARGET_PORTAL);
    if (!iqn.n)
        check_required(p->k, AT(at, "iqn"), "");
    else if (!str_starts(iqn, STR("iqn")) && !str_starts(iqn, STR("eui")) && !str_starts(iqn, STR("naa")))
        check_invalid_str(p->k, AT(at, "iqn"), iqn, "must be valid format starting with iqn, eui, or naa");
    if (lun < 0 || lun > 255)
        check_invalid_int(p->k, AT(at, "lun"), lun, "must be between 0 and 255, inclusive");
    if ((view_bool_at(source, false, F_ISCSI_VOLUME_SOURCE_CHAP_AUTH_DISCOVERY) ||
         view_bool_at(source, false, F_ISCSI_VOLUME_SOURCE_CHAP_AUTH_SESSION)) &&
        !view_present(view_get(source, F_ISCSI_VOLUME_SOURCE_SECRET_REF)))
        check_required(p->k, AT(at, "secretRef"), "");
}

static void check_glusterfs(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "endpoints", source, F_GLUSTERFS_VOLUME_SOURCE_ENDPOINTS);
    check_has(p->k, at, "path", source, F_GLUSTERFS_VOLUME_SOURCE_PATH);
}

static void check_flocker(struct pod_check *p, const struct at *at, struct view source)
{
    struct str name = view_str_at(source, F_FLOCKER_VOLUME_SOURCE_DATASET_NAME);
    struct str uuid = view_str_at(source, F_FLOCKER_VOLUME_SOURCE_DATASET_UUID);

    if (!name.n && !uuid.n)
        check_required(p->k, at, "one of datasetName and datasetUUID is required");
    if (name.n && uuid.n)
        check_invalid_str(p->k, at, STR("resource"), "datasetName and datasetUUID can not be specified simultaneously");
    if (str_find(name, '/') >= 0)
        check_invalid_str(p->k, AT(at, "datasetName"), name, "must not contain '/'");
}

static void check_claim(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "claimName", source, F_PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE_CLAIM_NAME);
}

static void check_rbd(struct pod_check *p, const struct at *at, struct view source)
{
    if (!view_count(view_get(source, F_RBD_VOLUME_SOURCE_MONITORS)))
        check_required(p->k, AT(at, "monitors"), "");
    check_has(p->k, at, "image", source, F_RBD_VOLUME_SOURCE_IMAGE);
}

static void check_cinder(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "volumeID", source, F_CINDER_VOLUME_SOURCE_VOLUME_ID);
    if (view_present(view_get(source, F_CINDER_VOLUME_SOURCE_SECRET_REF)))
        check_has(p->k, AT(at, "secretRef"), "name", view_get(source, F_CINDER_VOLUME_SOURCE_SECRET_REF),
                  F_LOCAL_OBJECT_REFERENCE_NAME);
}

static void check_ceph(struct pod_check *p, const struct at *at, struct view source)
{
    if (!view_count(view_get(source, F_CEPH_FS_VOLUME_SOURCE_MONITORS)))
        check_required(p->k, AT(at, "monitors"), "");
}

static void check_quobyte(struct pod_check *p, const struct at *at, struct view source)
{
    if (!view_str_at(source, F_QUOBYTE_VOLUME_SOURCE_REGISTRY).n)
        check_required(p->k, AT(at, "registry"), "must be a host:port pair or multiple pairs separated by commas");
    else if (view_str_at(source, F_QUOBYTE_VOLUME_SOURCE_TENANT).n >= 65)
        check_required(p->k, AT(at, "tenant"), "must be a UUID and may not exceed a length of 64 characters");
    check_has(p->k, at, "volume", source, F_QUOBYTE_VOLUME_SOURCE_VOLUME);
}

static void check_downward_file(struct check *k, const struct at *at, struct view file)
{
    struct view field = view_get(file, F_DOWNWARD_API_VOLUME_FILE_FIELD_REF);
    struct view resource = view_get(file, F_DOWNWARD_API_VOLUME_FILE_RESOURCE_FIELD_REF);

    check_has(k, at, "path", file, F_DOWNWARD_API_VOLUME_FILE_PATH);
    check_volume_file(k, AT(at, "path"), view_str_at(file, F_DOWNWARD_API_VOLUME_FILE_PATH));
    if (view_present(field)) {
        pod_check_field_ref(k, AT(at, "fieldRef"), field, volume_fields);
        if (view_present(resource))
            check_invalid_str(k, at, STR("resource"),
                              "fieldRef and resourceFieldRef can not be specified simultaneously");
    } else if (view_present(resource)) {
        pod_check_resource_field_ref(k, AT(at, "resourceFieldRef"), resource, true);
    } else {
        check_required(k, at, "one of fieldRef and resourceFieldRef is required");
    }
    check_file_mode(k, AT(at, "mode"), view_get(file, F_DOWNWARD_API_VOLUME_FILE_MODE));
}

static void check_downward(struct pod_check *p, const struct at *at, struct view source)
{
    struct view_iter it = { 0 };

    check_file_mode(p->k, AT(at, "defaultMode"), view_get(source, F_DOWNWARD_API_VOLUME_SOURCE_DEFAULT_MODE));
    while (view_next(view_get(source, F_DOWNWARD_API_VOLUME_SOURCE_ITEMS), &it) && !check_full(p->k))
        check_downward_file(p->k, at, it.value);
}

static void check_fc(struct pod_check *p, const struct at *at, struct view source)
{
    struct view wwns = view_get(source, F_FC_VOLUME_SOURCE_TARGET_WWNS), lun = view_get(source, F_FC_VOLUME_SOURCE_LUN);
    bool has_wwids = view_count(view_get(source, F_FC_VOLUME_SOURCE_WWIDS)) > 0;

    if (!view_count(wwns) && !has_wwids)
        check_required(p->k, AT(at, "targetWWNs"), "must specify either targetWWNs or wwids, but not both");
    if (view_count(wwns) && has_wwids)
        check_invalid(p->k, AT(at, "targetWWNs"), wwns, "targetWWNs and wwids can not be specified simultaneously");
    if (view_count(wwns) && !view_present(lun))
        check_required(p->k, AT(at, "lun"), "lun is required if targetWWNs is specified");
    else if (view_count(wwns) && (view_int(lun, 0) < 0 || view_int(lun, 0) > 255))
        check_invalid(p->k, AT(at, "lun"), lun, "must be between 0 and 255, inclusive");
}

static void check_flex(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "driver", source, F_FLEX_VOLUME_SOURCE_DRIVER);
}

static void check_azure_file(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "secretName", source, F_AZURE_FILE_VOLUME_SOURCE_SECRET_NAME);
    check_has(p->k, at, "shareName", source, F_AZURE_FILE_VOLUME_SOURCE_SHARE_NAME);
}

static void check_vsphere(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "volumePath", source, F_VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE_VOLUME_PATH);
}

static void check_photon(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "pdID", source, F_PHOTON_PERSISTENT_DISK_VOLUME_SOURCE_PD_ID);
}

static void check_portworx(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "volumeID", source, F_PORTWORX_VOLUME_SOURCE_VOLUME_ID);
}

static void check_azure_disk(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "diskName", source, F_AZURE_DISK_VOLUME_SOURCE_DISK_NAME);
    check_has(p->k, at, "diskURI", source, F_AZURE_DISK_VOLUME_SOURCE_DISK_URI);
}

static void check_storageos(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "volumeName", source, F_STORAGE_OS_VOLUME_SOURCE_VOLUME_NAME);
}

static void check_scale_io(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "gateway", source, F_SCALE_IO_VOLUME_SOURCE_GATEWAY);
    check_has(p->k, at, "system", source, F_SCALE_IO_VOLUME_SOURCE_SYSTEM);
    check_has(p->k, at, "volumeName", source, F_SCALE_IO_VOLUME_SOURCE_VOLUME_NAME);
}

static void check_csi(struct pod_check *p, const struct at *at, struct view source)
{
    check_has(p->k, at, "driver", source, F_CSI_VOLUME_SOURCE_DRIVER);
}

static void check_ephemeral(struct pod_check *p, const struct at *at, struct view source)
{
    struct view template_ = view_get(source, F_EPHEMERAL_VOLUME_SOURCE_VOLUME_CLAIM_TEMPLATE);

    if (!view_present(template_))
        check_required(p->k, AT(at, "volumeClaimTemplate"), "");
    else
        claim_spec_validate(p->k, AT(AT(at, "volumeClaimTemplate"), "spec"),
                            view_get(template_, F_PERSISTENT_VOLUME_CLAIM_TEMPLATE_SPEC));
}

static void check_empty_dir(struct pod_check *p, const struct at *at, struct view source)
{
    if (str_starts(view_str_at(source, F_EMPTY_DIR_VOLUME_SOURCE_SIZE_LIMIT), STR("-")))
        check_forbidden(p->k, AT(at, "sizeLimit"), "SizeLimit field must be a valid resource quantity");
}

static void check_image(struct pod_check *p, const struct at *at, struct view source)
{
    static const char *const policies[] = { "Always", "IfNotPresent", "Never", NULL };

    /* A template may leave the reference to whoever makes pods of it. */
    if (p->is_pod && !view_str_at(source, F_IMAGE_VOLUME_SOURCE_REFERENCE).n)
        check_required(p->k, AT(at, "reference"), "");
    check_one_of_required(p->k, AT(at, "pullPolicy"), view_str_at(source, F_IMAGE_VOLUME_SOURCE_PULL_POLICY), policies);
}

static void check_token(struct pod_check *p, const struct at *at, const struct at *token_at, struct view token)
{
    int64_t seconds = view_int_at(token, 0, F_SERVICE_ACCOUNT_TOKEN_PROJECTION_EXPIRATION_SECONDS);
    struct str path = view_str_at(token, F_SERVICE_ACCOUNT_TOKEN_PROJECTION_PATH);

    if (seconds < TOKEN_SECONDS_MIN)
        check_invalid_int(p->k, AT(token_at, "expirationSeconds"), seconds,
                          "may not specify a duration less than 10 minutes");
    if (seconds > TOKEN_SECONDS_MAX)
        check_invalid_int(p->k, AT(token_at, "expirationSeconds"), seconds,
                          "may not specify a duration larger than 2^32 seconds");
    if (!path.n)
        check_required(p->k, AT(at, "path"), "");
    else
        check_volume_file(p->k, AT(at, "path"), path);
    if (p->is_pod && !view_str_at(p->spec, F_POD_SPEC_SERVICE_ACCOUNT_NAME).n)
        check_forbidden(p->k, token_at, "must not be specified when serviceAccountName is not set");
}

static void check_projection(struct pod_check *p, const struct at *at, const struct at *source_at, struct view source,
                             struct map *paths)
{
    struct view secret = view_get(source, F_VOLUME_PROJECTION_SECRET);
    struct view config = view_get(source, F_VOLUME_PROJECTION_CONFIG_MAP);
    struct view downward = view_get(source, F_VOLUME_PROJECTION_DOWNWARD_API);
    struct view token = view_get(source, F_VOLUME_PROJECTION_SERVICE_ACCOUNT_TOKEN);
    struct view_iter it = { 0 };

    if (view_present(secret)) {
        check_has(p->k, AT(source_at, "secret"), "name", secret, F_SECRET_PROJECTION_NAME);
        check_items(p->k, AT(AT(source_at, "secret"), "items"), view_get(secret, F_SECRET_PROJECTION_ITEMS), paths, at,
                    view_str_at(secret, F_SECRET_PROJECTION_NAME));
    }
    if (view_present(config)) {
        check_has(p->k, AT(source_at, "configMap"), "name", config, F_CONFIG_MAP_PROJECTION_NAME);
        check_items(p->k, AT(AT(source_at, "configMap"), "items"), view_get(config, F_CONFIG_MAP_PROJECTION_ITEMS),
                    paths, at, view_str_at(config, F_CONFIG_MAP_PROJECTION_NAME));
    }
    while (view_next(view_get(downward, F_DOWNWARD_API_PROJECTION_ITEMS), &it) && !check_full(p->k)) {
        struct str path = view_str_at(it.value, F_DOWNWARD_API_VOLUME_FILE_PATH);

        check_downward_file(p->k, AT(source_at, "downwardAPI"), it.value);
        if (path.n && seen_before(paths, path))
            check_invalid_str(p->k, at, path, "conflicting duplicate paths");
    }
    if (view_present(token))
        check_token(p, at, AT(source_at, "serviceAccountToken"), token);
    if (view_count(source) > 1)
        check_forbidden(p->k, source_at, "may not specify more than 1 volume type per source");
}

static void check_projected(struct pod_check *p, const struct at *at, struct view source)
{
    AUTO_MAP struct map paths = { 0 };
    struct view_iter it = { 0 };

    check_file_mode(p->k, AT(at, "defaultMode"), view_get(source, F_PROJECTED_VOLUME_SOURCE_DEFAULT_MODE));
    for (size_t i = 0; view_next(view_get(source, F_PROJECTED_VOLUME_SOURCE_SOURCES), &it) && !check_full(p->k); i++)
        check_projection(p, at, AT_INDEX(AT(at, "sources"), i), it.value, &paths);
}

/* In upstream's order, which decides which of two sources is the one too many. */
static const struct {
    name_id name;
    const char *text;
    void (*check)(struct pod_check *, const struct at *, struct view);
} sources[] = {
    { F_VOLUME_EMPTY_DIR, "emptyDir", check_empty_dir },
    { F_VOLUME_HOST_PATH, "hostPath", check_host_path },
    { F_VOLUME_GIT_REPO, "gitRepo", check_git_repo },
    { F_VOLUME_GCE_PERSISTENT_DISK, "gcePersistentDisk", check_gce },
    { F_VOLUME_AWS_ELASTIC_BLOCK_STORE, "awsElasticBlockStore", check_aws },
    { F_VOLUME_SECRET, "secret", check_secret },
    { F_VOLUME_NFS, "nfs", check_nfs },
    { F_VOLUME_ISCSI, "iscsi", check_iscsi },
    { F_VOLUME_GLUSTERFS, "glusterfs", check_glusterfs },
    { F_VOLUME_FLOCKER, "flocker", check_flocker },
    { F_VOLUME_PERSISTENT_VOLUME_CLAIM, "persistentVolumeClaim", check_claim },
    { F_VOLUME_RBD, "rbd", check_rbd },
    { F_VOLUME_CINDER, "cinder", check_cinder },
    { F_VOLUME_CEPHFS, "cephfs", check_ceph },
    { F_VOLUME_QUOBYTE, "quobyte", check_quobyte },
    { F_VOLUME_DOWNWARD_API, "downwardAPI", check_downward },
    { F_VOLUME_FC, "fc", check_fc },
    { F_VOLUME_FLEX_VOLUME, "flexVolume", check_flex },
    { F_VOLUME_CONFIG_MAP, "configMap", check_config_map },
    { F_VOLUME_AZURE_FILE, "azureFile", check_azure_file },
    { F_VOLUME_VSPHERE_VOLUME, "vsphereVolume", check_vsphere },
    { F_VOLUME_PHOTON_PERSISTENT_DISK, "photonPersistentDisk", check_photon },
    { F_VOLUME_PORTWORX_VOLUME, "portworxVolume", check_portworx },
    { F_VOLUME_AZURE_DISK, "azureDisk", check_azure_disk },
    { F_VOLUME_STORAGEOS, "storageos", check_storageos },
    { F_VOLUME_PROJECTED, "projected", check_projected },
    { F_VOLUME_SCALE_IO, "scaleIO", check_scale_io },
    { F_VOLUME_CSI, "csi", check_csi },
    { F_VOLUME_EPHEMERAL, "ephemeral", check_ephemeral },
    { F_VOLUME_IMAGE, "image", check_image },
};

bool volume_check_sources(struct check *k, const struct at *at, struct view spec, const char *const *names)
{
    struct pod_check p = { .k = k, .is_pod = true };
    bool found = false;

    for (size_t n = 0; names[n]; n++) {
        struct view source = view_get_str(spec, str_of(names[n]));

        if (!view_present(source))
            continue;
        if (found)
            check_forbidden(k, AT_STR(at, str_of(names[n])), "may not specify more than 1 volume type");
        for (size_t i = 0; i < ARRAY_SIZE(sources) && !found; i++)
            if (strcmp(sources[i].text, names[n]) == 0)
                sources[i].check(&p, AT_STR(at, str_of(names[n])), source);
        found = true;
    }
    return found;
}

static void check_source(struct pod_check *p, const struct at *at, struct view volume)
{
    bool found = false;

    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        struct view source = view_get(volume, sources[i].name);

        if (!view_present(source))
            continue;
        if (found)
            check_forbidden(p->k, AT_STR(at, str_of(sources[i].text)), "may not specify more than 1 volume type");
        else
            sources[i].check(p, AT_STR(at, str_of(sources[i].text)), source);
        found = true;
    }
    if (!found)
        check_required(p->k, at, "must specify a volume type");
}

void pod_check_volumes(struct pod_check *p, const struct at *at, struct view volumes)
{
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(volumes, &it) && !check_full(p->k); i++) {
        struct str name = view_str_at(it.value, F_VOLUME_NAME);
        size_t before = p->k->causes->causes_count;

        check_source(p, AT_INDEX(at, i), it.value);
        if (!name.n)
            check_required(p->k, AT(AT_INDEX(at, i), "name"), "");
        else
            check_dns_label(p->k, AT(AT_INDEX(at, i), "name"), name);
        if (map_has(&p->volumes, name))
            check_duplicate_str(p->k, AT(AT_INDEX(at, i), "name"), name);
        if (p->k->causes->causes_count > before)
            continue; /* mounts of a broken volume are "not found" too */
        seen_before(&p->volumes, name);
        if (view_present(view_get(it.value, F_VOLUME_PERSISTENT_VOLUME_CLAIM)) ||
            view_present(view_get(it.value, F_VOLUME_EPHEMERAL)))
            seen_before(&p->claim_volumes, name);
    }
}
