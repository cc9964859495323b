"""The exact (module, name) pairs a pickle may name and still be called harmless.

`BUILDERS` may be called with whatever the file says: they build tensors, storages, containers, numpy arrays,
run no string, open no file, import nothing by name. `CLASSES` are the layers and settings that pickled detectors
and trainers are made of; only empty objects of them may be made, since their constructors evaluate strings.
Deny-lists were measured to miss attacks; an exact allow-list missed none.
"""

from collections.abc import Mapping

_TORCH = {
    "torch": """BFloat16Storage BoolStorage ByteStorage CharStorage DoubleStorage FloatStorage HalfStorage
        IntStorage LongStorage ShortStorage ComplexFloatStorage ComplexDoubleStorage QInt8Storage
        QUInt8Storage QInt32Storage UntypedStorage Tensor Size device bfloat16 bool complex128 complex64
        float float16 float32 float64 float8_e4m3fn float8_e5m2 half int16 int32 int64 int8 uint8 qint8
        quint8 qint32 per_tensor_affine per_channel_affine""",
    "torch._utils": """_rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter
        _rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor _rebuild_meta_tensor_no_storage
        _rebuild_wrapper_subclass _rebuild_device_tensor_from_numpy""",
    "torch._tensor": "_rebuild_from_type_v2",
    "torch.nn.parameter": "Parameter Buffer UninitializedParameter",
    "torch.serialization": "_get_layout",
    "torch.storage": "UntypedStorage TypedStorage",
    "torch.nn.backends.thnn": "_get_thnn_function_backend",
}
_PYTHON = {
    "collections": "OrderedDict Counter defaultdict",
    "builtins": "bool bytearray bytes complex dict float frozenset int list object set slice str tuple",
    "__builtin__": "bool bytearray bytes complex dict float frozenset int list object set slice str tuple unicode long",
    "_codecs": "encode",
    "copyreg": "_reconstructor",
    "copy_reg": "_reconstructor",
    "datetime": "date datetime time timedelta timezone",
    "argparse": "Namespace",
    "pathlib": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "numpy": "dtype ndarray bool_ float16 float32 float64 int16 int32 int64 int8 uint8",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
    "numpy.dtypes": "Float16DType Float32DType Float64DType Int32DType Int64DType",
}
_LAYERS = {
    "torch.nn.modules.activation": """GELU Hardswish Hardsigmoid Hardtanh LeakyReLU Mish PReLU ReLU ReLU6
        SELU SiLU Sigmoid Softmax Softplus Tanh ELU MultiheadAttention Identity""",
    "torch.nn.modules.batchnorm": "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm",
    "torch.nn.modules.container": "ModuleDict ModuleList ParameterDict ParameterList Sequential",
    "torch.nn.modules.conv": "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d",
    "torch.nn.modules.dropout": "Dropout Dropout1d Dropout2d Dropout3d",
    "torch.nn.modules.flatten": "Flatten Unflatten",
    "torch.nn.modules.instancenorm": "InstanceNorm1d InstanceNorm2d InstanceNorm3d",
    "torch.nn.modules.linear": "Bilinear Identity Linear NonDynamicallyQuantizableLinear",
    "torch.nn.modules.loss": "BCEWithLogitsLoss CrossEntropyLoss L1Loss MSELoss SmoothL1Loss",
    "torch.nn.modules.normalization": "GroupNorm LayerNorm LocalResponseNorm RMSNorm",
    "torch.nn.modules.padding": "ConstantPad2d ReflectionPad2d ReplicationPad2d ZeroPad2d",
    "torch.nn.modules.pixelshuffle": "PixelShuffle PixelUnshuffle",
    "torch.nn.modules.pooling": """AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveMaxPool2d AvgPool1d AvgPool2d
        MaxPool1d MaxPool2d""",
    "torch.nn.modules.rnn": "GRU GRUCell LSTM LSTMCell RNN",
    "torch.nn.modules.sparse": "Embedding EmbeddingBag",
    "torch.nn.modules.transformer": """Transformer TransformerDecoder TransformerDecoderLayer
        TransformerEncoder TransformerEncoderLayer""",
    "torch.nn.modules.upsampling": "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
}
_TRAINERS = {
    "pytorch_lightning.callbacks.model_checkpoint": "ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping": "EarlyStopping",
    "pytorch_lightning.utilities.parsing": "AttributeDict",
    "lightning_fabric.utilities.data": "AttributeDict",
    "omegaconf.base": "ContainerMetadata Metadata",
    "omegaconf.dictconfig": "DictConfig",
    "omegaconf.listconfig": "ListConfig",
    "omegaconf.nodes": "AnyNode BooleanNode FloatNode IntegerNode StringNode",
    "typing": "Any",
}
_DETECTORS = {
    "ultralytics.nn.tasks": """ClassificationModel DetectionModel OBBModel PoseModel RTDETRDetectionModel
        SegmentationModel WorldModel YOLOEModel YOLOESegModel""",
    "ultralytics.nn.modules.block": """A2C2f AAttn
        ABlock ADown AConv AIFI Attention BNContrastiveHead BasicStem Bottleneck
        BottleneckCSP C1 C2 C2PSA C2f C2fAttn C2fCIB C2fPSA C3 C3Ghost C3TR C3k C3k2 C3x CBFuse CBLinear CIB
        ContrastiveHead DFL ELAN1 GhostBottleneck HGBlock HGStem ImagePoolingAttn MaxSigmoidAttnBlock PSA
        PSABlock Proto RepBottleneck RepC3 RepCSP RepNCSPELAN4 RepVGGDW ResNetBlock ResNetLayer SCDown SPP
        SPPELAN SPPF TorchVision""",
    "ultralytics.nn.modules.conv": """CBAM ChannelAttention Concat Conv Conv2 ConvTranspose DWConv
        DWConvTranspose2d Focus GhostConv Index LightConv RepConv SpatialAttention""",
    "ultralytics.nn.modules.head": """Classify Detect LRPCHead OBB Pose RTDETRDecoder Segment WorldDetect
        YOLOEDetect YOLOESegment v10Detect""",
    "ultralytics.nn.modules.transformer": """AIFI DeformableTransformerDecoder DeformableTransformerDecoderLayer
        LayerNorm2d MLP MLPBlock MSDeformAttn TransformerBlock TransformerEncoderLayer TransformerLayer""",
    "ultralytics.nn.modules": """Bottleneck C2f C3 Concat Conv DFL Detect DWConv Proto SPPF Segment""",
    "ultralytics.utils": "IterableSimpleNamespace",
    "ultralytics.yolo.utils": "IterableSimpleNamespace",
    "ultralytics.utils.loss": "BboxLoss v8DetectionLoss v8SegmentationLoss",
    "ultralytics.utils.tal": "TaskAlignedAssigner",
    "models.yolo": "ClassificationModel Detect DetectionModel Model Segment SegmentationModel",
    "models.common": "BottleneckCSP Bottleneck C3 Concat Conv Focus Proto SPP SPPF",
}


def _pairs(*groups: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((module, name) for group in groups for module, names in group.items() for name in names.split())


BUILDERS = _pairs(_TORCH, _PYTHON)
CLASSES = _pairs(_LAYERS, _TRAINERS, _DETECTORS)
